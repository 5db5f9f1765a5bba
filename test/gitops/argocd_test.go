package gitops

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const argoManager = "argocd-controller"

// argoCD applies and compares as Argo CD does, in one of its two ways, with the libraries that its engine does it with. The engine itself of Argo CD 3.6 needs Go 1.27.
type argoCD struct {
	apply func(t *testing.T, o *unstructured.Unstructured)
	// outOfSync tells whether applying the object would change the one that is there.
	outOfSync func(t *testing.T, o *unstructured.Unstructured) bool
}

var argoCDs = map[string]argoCD{"client-side": {applyClientSide, threeWays}, "server-side": {applyServerSide, dryRun}}

func applyClientSide(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "object.yaml")
	if err := os.WriteFile(file, []byte(utils.ObjectToYAML(o)), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "-f", file)
}

// threeWays compares what was applied last, what would be applied and what is there.
func threeWays(t *testing.T, o *unstructured.Unstructured) bool {
	t.Helper()
	is, last := live(t, o), &unstructured.Unstructured{}
	if err := last.UnmarshalJSON([]byte(is.GetAnnotations()[corev1.LastAppliedConfigAnnotation])); err != nil {
		t.Fatal(err)
	}
	if len(last.GetAnnotations()) == 0 {
		last.SetAnnotations(nil) // kubectl leaves an empty object there
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(encoded(t, last), encoded(t, o), encoded(t, is))
	if err != nil {
		t.Fatal(err)
	}
	return string(patch) != "{}"
}

func applyServerSide(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	if err := machine.Client.Patch(t.Context(), o.DeepCopy(), client.Apply, client.ForceOwnership, client.FieldOwner(argoManager)); err != nil {
		t.Fatal(err)
	}
}

// dryRun compares what the API server would make of it with what is there. The status is nobody's but the operator's.
func dryRun(t *testing.T, o *unstructured.Unstructured) bool {
	t.Helper()
	is, becomes := live(t, o), o.DeepCopy()
	if err := machine.Client.Patch(t.Context(), becomes, client.Apply, client.ForceOwnership, client.FieldOwner(argoManager), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	for _, u := range []*unstructured.Unstructured{is, becomes} {
		u.SetManagedFields(nil)
		u.SetResourceVersion("")
		delete(u.Object, "status")
	}
	return !equality.Semantic.DeepEqual(is.Object, becomes.Object)
}

func encoded(t *testing.T, o *unstructured.Unstructured) []byte {
	t.Helper()
	content, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestArgoCDSyncsByWaves: every wave becomes ready before the next one is there, the operator's work makes nothing OutOfSync, and pruning from the last wave is never refused.
func TestArgoCDSyncsByWaves(t *testing.T) {
	for way, argo := range argoCDs {
		t.Run(way, func(t *testing.T) {
			f := newFlux(t) // what Flux waits for is what the health rules call Healthy
			collect(t)
			runOperator(t)
			waves := map[string][]*unstructured.Unstructured{}
			for _, o := range f.sample() {
				wave := o.GetAnnotations()["argocd.argoproj.io/sync-wave"]
				waves[wave] = append(waves[wave], o)
			}
			for _, wave := range []string{"", "1", "2", "3"} {
				for _, o := range waves[wave] {
					argo.apply(t, o)
				}
				if wave == "" {
					runServiceProvider(t)
				}
				if err := f.wait(waves[wave]); err != nil {
					t.Fatalf("wave %q: %v", wave, err)
				}
			}
			argo.compares(t, f.sample(), "")

			byHand := live(t, named(t, f.sample(), acme))
			before := byHand.DeepCopy()
			set(t, byHand, "Mallory", "spec", "displayName")
			if err := machine.Client.Patch(t.Context(), byHand, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
			argo.compares(t, f.sample(), acme)

			setPolicy(t, "Deny")
			for _, wave := range []string{"3", "2", "1", ""} {
				gone := slices.DeleteFunc(waves[wave], utils.IsNamespace)
				for _, o := range gone {
					if err := machine.Client.Delete(t.Context(), o); err != nil {
						t.Fatal(err)
					}
				}
				if err := f.manager.WaitForTermination(gone, ssa.WaitOptions{Interval: pollInterval, Timeout: patience}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// compares holds that one object is out of sync and no other; an empty name: none.
func (a argoCD) compares(t *testing.T, objects []*unstructured.Unstructured, changed string) {
	t.Helper()
	for _, o := range objects {
		if name := utils.FmtUnstructured(o); a.outOfSync(t, o) != (name == changed) {
			t.Errorf("%s is out of sync: %v", name, name != changed)
		}
	}
}
