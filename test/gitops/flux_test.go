package gitops

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/clusterreader"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	fluxGroup   = "kustomize.toolkit.fluxcd.io"
	fluxManager = "kustomize-controller"
	// pollInterval is shorter than kustomize-controller's.
	pollInterval = 200 * time.Millisecond
	// patience is how long is waited for what should take a second: a machine may have other things to do.
	patience = 90 * time.Second
)

// flux does with the sample's Kustomization sso what kustomize-controller does: it applies, prunes what it has applied before, and waits, in this order.
type flux struct {
	t *testing.T
	// ctx outlives the test: what it has applied is pruned in the end.
	ctx           context.Context
	manager       *ssa.ResourceManager
	kustomization kustomization
	// inventory is what it has applied, and what it could not prune.
	inventory []*unstructured.Unstructured
}

// kustomization is what is read of the sample's.
type kustomization struct {
	Metadata metav1.ObjectMeta
	Spec     struct {
		Wait, Prune      bool
		HealthCheckExprs []kustomize.CustomHealthCheck
	}
}

func newFlux(t *testing.T) *flux {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(sampleFolder, "clusters", "prod", "sso.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f := &flux{t: t, ctx: context.WithoutCancel(t.Context())}
	if err := yaml.Unmarshal(content, &f.kustomization); err != nil {
		t.Fatal(err)
	}
	if !f.kustomization.Spec.Wait || !f.kustomization.Spec.Prune {
		t.Fatal("the sample neither waits nor prunes")
	}
	expressions, err := cel.NewStatusReader(f.kustomization.Spec.HealthCheckExprs)
	if err != nil {
		t.Fatal(err)
	}
	mapper := machine.Client.RESTMapper()
	poller := polling.NewStatusPoller(machine.Client, mapper, polling.Options{CustomStatusReaders: []engine.StatusReader{expressions(mapper)},
		ClusterReaderFactory: engine.ClusterReaderFactoryFunc(clusterreader.NewDirectClusterReader)})
	f.manager = ssa.NewResourceManager(machine.Client, poller, ssa.Owner{Field: fluxManager, Group: fluxGroup})
	f.manager.SetConcurrency(4)
	return f
}

// sample are the objects that kustomize builds of the sample.
func (f *flux) sample() []*unstructured.Unstructured {
	f.t.Helper()
	objects, err := utils.ReadObjects(strings.NewReader(kubectl(f.t, "kustomize", filepath.Join(sampleFolder, "sso"))))
	if err != nil || len(objects) != 6 {
		f.t.Fatalf("%d objects: %v", len(objects), err)
	}
	return objects
}

// apply applies the objects and returns what was done to each, by kind/namespace/name.
func (f *flux) apply(objects []*unstructured.Unstructured) map[string]ssa.Action {
	f.t.Helper()
	f.manager.SetOwnerLabels(objects, f.kustomization.Metadata.Name, f.kustomization.Metadata.Namespace)
	if err := normalize.UnstructuredList(objects); err != nil {
		f.t.Fatal(err)
	}
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{fluxGroup + "/reconcile": "disabled", fluxGroup + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{fluxGroup + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{fluxGroup + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{Annotations: []string{corev1.LastAppliedConfigAnnotation}, FieldManagers: []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: fluxManager, OperationType: metav1.ManagedFieldsOperationUpdate},
	}, Exclusions: map[string]string{fluxGroup + "/ssa": "Merge"}}
	changes, err := f.manager.ApplyAllStaged(f.ctx, objects, options)
	if err != nil {
		f.t.Fatal(err)
	}
	return changes.ToMap()
}

// prune deletes what is in the inventory and not among the objects any more. What the API server refuses stays in the inventory.
func (f *flux) prune(objects []*unstructured.Unstructured) (*ssa.ChangeSet, error) {
	f.t.Helper()
	stale := slices.DeleteFunc(slices.Clone(f.inventory), func(o *unstructured.Unstructured) bool {
		return slices.ContainsFunc(objects, func(now *unstructured.Unstructured) bool {
			return utils.FmtUnstructured(now) == utils.FmtUnstructured(o)
		})
	})
	changes, err := f.manager.DeleteAll(f.ctx, stale, ssa.DeleteOptions{PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions: f.manager.GetOwnerLabels(f.kustomization.Metadata.Name, f.kustomization.Metadata.Namespace),
		Exclusions: map[string]string{fluxGroup + "/prune": "disabled", fluxGroup + "/reconcile": "disabled", fluxGroup + "/ssa": "Ignore"}})
	done := changes.ToMap()
	refused := slices.DeleteFunc(stale, func(o *unstructured.Unstructured) bool { return done[utils.FmtUnstructured(o)] != ssa.UnknownAction })
	f.inventory = append(slices.Clone(objects), refused...)
	return changes, err
}

// wait returns when every object is ready, or one of them has failed.
func (f *flux) wait(objects []*unstructured.Unstructured) error {
	f.t.Helper()
	return f.manager.WaitForSetWithContext(f.ctx, object.UnstructuredSetToObjMetadataSet(objects),
		ssa.WaitOptions{Interval: pollInterval, Timeout: patience, FailFast: true})
}
