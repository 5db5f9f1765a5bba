package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/test/internal/apiserver"
)

// place is where a reader is who has followed the quick start: a checkout, and a cluster with what the pages speak of.
type place struct {
	// dir is the checkout, with the files that the pages have somebody make.
	dir, kubeconfig string
	// helm is built from its module, programs holds our own.
	helm, programs string
	kube           client.Client
}

var world place

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sallyport-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	world = place{dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"), helm: filepath.Join(dir, ".programs", "helm"), programs: filepath.Join(dir, ".programs")}
	ctrl.SetLogger(logr.Discard())
	environment := apiserver.Environment()
	defer func() { _ = environment.Stop() }()
	monitoring, err := apiserver.MonitoringKinds()
	environment.CRDDirectoryPaths = append(environment.CRDDirectoryPaths, monitoring...)
	if err == nil {
		err = world.build()
	}
	var config *rest.Config
	if err == nil {
		config, err = environment.Start()
	}
	if err == nil {
		err = world.furnish(config, environment.KubeConfig)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n('make assets' builds the API server)\n", err)
		return 1
	}
	return m.Run()
}

// build makes Helm, and the programs of ours whose flags are in the documentation.
func (w *place) build() error {
	for folder, packages := range map[string][]string{"hack/tools/helm": {"helm.sh/helm/v4/cmd/helm"}, ".": {"./cmd/operator", "./cmd/serviceprovider", "./test/bench"}} {
		command := exec.Command("go", append([]string{"build", "-o", w.programs + "/"}, packages...)...)
		command.Dir = filepath.Join(root, folder)
		if _, err := said(command); err != nil {
			return fmt.Errorf("building %v: %w", packages, err)
		}
	}
	return nil
}

// furnish puts everything there that commands of the documentation find.
func (w *place) furnish(config *rest.Config, kubeconfig []byte) error {
	if err := os.WriteFile(w.kubeconfig, kubeconfig, 0o600); err != nil {
		return err
	}
	objects := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(objects); err != nil {
			return err
		}
	}
	var err error
	if w.kube, err = client.New(config, client.Options{Scheme: objects}); err != nil {
		return err
	}
	for _, step := range []func() error{w.checkout, w.install, w.quickStart, w.serve, w.workload, w.pods, w.files, w.policy} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checkout is the repository, and beside it what docs/gitops.md has people keep in one of theirs.
func (w *place) checkout() error {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	for _, name := range []string{"api", "charts", "cmd", "config", "docs", "hack", "test"} {
		if err := os.Symlink(filepath.Join(absolute, name), filepath.Join(w.dir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"sso", "clusters"} {
		if err := os.Symlink(filepath.Join(absolute, "docs", "examples", "gitops", name), filepath.Join(w.dir, name)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(w.dir, "kustomization.yaml"), []byte("resources: [sso]\n"), 0o600)
}

// must runs kubectl for the world itself.
func (w *place) must(stdin string, arguments ...string) error {
	_, err := (&script{dir: w.dir}).kubectl(stdin, arguments...)
	return err
}

// install is the operator as `make deploy` brings it, and the namespaces that pages name.
func (w *place) install() error {
	for _, folder := range []string{"config/default", "config/admission/changed-by"} {
		if err := w.must("", "apply", "--server-side", "-k", folder); err != nil {
			return err
		}
	}
	for _, namespace := range []string{"sso", "argocd"} {
		if err := w.must("", "create", "namespace", namespace); err != nil {
			return err
		}
	}
	if err := w.must("", "create", "configmap", "argocd-cm", "-n", "argocd"); err != nil {
		return err
	}
	return w.must("", "config", "set-context", "--current", "--namespace=sso")
}

// others are what commands of the pages name beside the quick start's objects.
const others = `
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: entra}
spec: {serviceProviderRef: {name: main}, displayName: Globex, type: EntraID, saml: {metadata: {url: "https://login.globex.example/metadata"}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata: {name: google}
spec: {serviceProviderRef: {name: main}, displayName: Initech, type: GoogleWorkspace, saml: {metadata: {fromConfigMap: {name: google-metadata}}}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: DomainBinding
metadata: {name: okta}
spec: {domain: acme.test, identityProviderRef: {name: okta}}
---
apiVersion: sso.sallyport.dev/v1alpha1
kind: AttributeMapping
metadata: {name: okta}
spec: {identityProviderRef: {name: okta}}
`

// quickStart applies the objects of the quick start, as a reader does.
func (w *place) quickStart() error {
	page, err := os.ReadFile(filepath.Join(root, "docs", "quickstart.md"))
	if err != nil {
		return err
	}
	manifests := []string{others}
	for _, p := range passages("docs/quickstart.md", string(page)) {
		manifests = append(manifests, heredocs(p)...)
	}
	if len(manifests) < 3 {
		return fmt.Errorf("the quick start has %d manifests", len(manifests)-1)
	}
	// The reader keeps them in a folder, which is dir/ in the pages.
	folder := filepath.Join(w.dir, "dir")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for i, manifest := range slices.Backward(manifests) {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(len(manifests)-i)+".yaml"), []byte(manifest), 0o600); err != nil {
			return err
		}
	}
	// Until the policies know kinds that were made just now, the API server answers that there can be a delay.
	if err := inTime(func() error { return w.must("", "apply", "-n", "sso", "-f", folder) }); err != nil {
		return err
	}
	for _, name := range []string{"sallyport-keys-okta", "main-audit", "main-second-factor", "main-signed-header"} {
		if err := w.must("", "create", "secret", "generic", name, "-n", "sso", "--from-literal=keys=-"); err != nil {
			return err
		}
	}
	return w.must(`{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "mount"}, "reason": "FailedMount", "involvedObject": {"kind": "Pod", "name": "main-sallyport-0", "namespace": "sso"}}`,
		"create", "-n", "sso", "-f", "-")
}

// serve writes the conditions of objects that every pod serves.
func (w *place) serve() error {
	for _, kind := range []string{v1alpha1.KindServiceProvider, v1alpha1.KindIdentityProvider, v1alpha1.KindDomainBinding, v1alpha1.KindAttributeMapping} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		if err := w.kube.List(context.Background(), list); err != nil {
			return err
		}
		for _, object := range list.Items {
			var conditions []metav1.Condition
			for _, condition := range v1alpha1.ConditionTypes(kind) {
				conditions = append(conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonServing, Message: "-",
					ObservedGeneration: object.Generation, LastTransitionTime: metav1.Now()})
			}
			patch, err := json.Marshal(map[string]any{"status": map[string]any{"observedGeneration": object.Generation, "conditions": conditions}})
			if err != nil {
				return err
			}
			if err := w.must("", "patch", kind, object.Name, "-n", object.Namespace, "--subresource=status", "--type=merge", "-p", string(patch)); err != nil {
				return err
			}
		}
	}
	return nil
}

// workload applies what the operator would.
func (w *place) workload() error {
	provider := &v1alpha1.ServiceProvider{}
	if err := w.kube.Get(context.Background(), client.ObjectKey{Namespace: "sso", Name: "main"}, provider); err != nil {
		return err
	}
	for _, object := range render.Render(render.Input{ServiceProvider: provider, Image: "sallyport.dev/sallyport:dev", OperatorNamespace: "sallyport-system"}).Apply {
		if err := w.kube.Apply(context.Background(), object, client.FieldOwner("docs"), client.ForceOwnership); err != nil {
			return err
		}
	}
	return nil
}

// pods makes one for each workload: nothing else does here, and no node runs them.
func (w *place) pods() error {
	var deployments appsv1.DeploymentList
	var sets appsv1.StatefulSetList
	for _, list := range []client.ObjectList{&deployments, &sets} {
		if err := w.kube.List(context.Background(), list); err != nil {
			return err
		}
	}
	pods := map[*metav1.ObjectMeta]corev1.PodTemplateSpec{}
	for i := range deployments.Items {
		pods[&deployments.Items[i].ObjectMeta] = deployments.Items[i].Spec.Template
	}
	for i := range sets.Items {
		pods[&sets.Items[i].ObjectMeta] = sets.Items[i].Spec.Template
	}
	if len(pods) != 2 {
		return fmt.Errorf("there are %d workloads, and not the operator's and the service provider's", len(pods))
	}
	for of, template := range pods {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: of.Name + "-0", Namespace: of.Namespace, Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec}
		if err := w.kube.Create(context.Background(), pod); err != nil {
			return err
		}
	}
	return nil
}

// files are those that `make` and a download have brought. Others are written by the commands of the pages.
func (w *place) files() error {
	installer, err := (&script{dir: w.dir}).kubectl("", "kustomize", "config/default")
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(w.dir, "dist"), 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(w.dir, "dist", "install.yaml"), []byte(installer), 0o600),
		os.WriteFile(filepath.Join(w.dir, "GoogleIDPMetadata.xml"), []byte("<EntityDescriptor/>"), 0o600),
		os.WriteFile(filepath.Join(w.dir, "AUTHORITY.pem"), []byte("-----BEGIN CERTIFICATE-----"), 0o600))
}

// policy waits until the one that protects an identity provider answers, some time after it was made.
func (w *place) policy() error {
	return inTime(func() error {
		err := w.must("", "delete", "idp", "okta", "-n", "sso", "--dry-run=server")
		if err != nil && strings.Contains(err.Error(), "delete or rebind ") {
			return nil
		}
		return fmt.Errorf("the policy lets an identity provider in use be deleted: %v", err)
	})
}

// inTime tries again for two minutes.
func inTime(try func() error) error {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if err := try(); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
