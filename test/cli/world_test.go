package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/test/internal/daemon"
	"sallyport.dev/sallyport/test/internal/loopback"
)

const (
	spURL = "https://sso.example.com"
	token = "a-management-token-for-tests-0123456789"
)

// world is a namespace with our objects, and the service provider that its one pod stands for.
type world struct {
	t          *testing.T
	ns         string
	kubeconfig string
	idp        *samltest.IdP
	snapshot   snapshot.Snapshot
	pod        *corev1.Pod
	// public and management are the process's ports; pods leads from the name of a pod to its management port.
	public, management string
	pods               sync.Map
	dir                string
	process            *daemon.Process
	flags              []string
	auditKey           string
}

// newCluster has the objects and no process behind them.
func newCluster(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cli-"}}
	w.create(namespace)
	w.ns = namespace.Name
	w.kubeconfig = kubeconfig(t, envtest.User{Name: "admin@acme.example", Groups: []string{"system:masters"}})
	w.create(&v1alpha1.ServiceProvider{ObjectMeta: w.named("main"), Spec: v1alpha1.ServiceProviderSpec{URL: spURL}})
	w.idpObject("okta", func(idp *v1alpha1.IdentityProvider) {
		idp.Spec.DisplayName, idp.Spec.Type = "Acme", v1alpha1.TypeOkta
		idp.Spec.SAML.Metadata = v1alpha1.MetadataSource{URL: "https://acme.okta.example/metadata"}
	})
	w.create(&v1alpha1.DomainBinding{ObjectMeta: w.named("acme"), Spec: v1alpha1.DomainBindingSpec{Domain: "acme.example", IdentityProviderRef: v1alpha1.IdentityProviderReference{Name: "okta"}}})
	w.create(&corev1.Secret{ObjectMeta: w.named(render.ManagementSecretName("main")), Data: map[string][]byte{"token": []byte(token)}})
	w.pod = w.newPod("main-sallyport-0")
	return w
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.ns, Name: name}
}

func (w *world) idpObject(name string, edit func(*v1alpha1.IdentityProvider)) *v1alpha1.IdentityProvider {
	w.t.Helper()
	idp := &v1alpha1.IdentityProvider{ObjectMeta: w.named(name), Spec: v1alpha1.IdentityProviderSpec{ServiceProviderRef: v1alpha1.ServiceProviderReference{Name: "main"}}}
	edit(idp)
	w.create(idp)
	return idp
}

func (w *world) newPod(name string) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{ObjectMeta: w.named(name), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "service-provider", Image: "none"}}}}
	pod.Labels = render.Labels("main")
	w.create(pod)
	w.setReady(pod, true)
	return pod
}

func (w *world) setReady(pod *corev1.Pod, ready bool) {
	w.t.Helper()
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.Now()}}}
	if err := k8s.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := k8s.Create(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

// conditions sets conditions of an object of ours, as the operator does.
func (w *world) conditions(object client.Object, set func()) {
	w.t.Helper()
	if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		w.t.Fatal(err)
	}
	set()
	if err := k8s.Status().Update(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

var kubeconfigs sync.Map

// kubeconfig of a user with a client certificate. Making one takes a while, so tests share them.
func kubeconfig(t *testing.T, user envtest.User) string {
	t.Helper()
	if known, ok := kubeconfigs.Load(user.Name); ok {
		return known.(string)
	}
	authenticated, err := environment.AddUser(user, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := authenticated.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(programs, "kubeconfig-"+strings.ReplaceAll(user.Name, "@", "-"))
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfigs.Store(user.Name, file)
	return file
}

var (
	idpOnce sync.Once
	theIdP  *samltest.IdP
)

// newWorld is newCluster with a service provider that serves okta.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newCluster(t)
	w.serveOkta()
	return w
}

// serveOkta starts a service provider with one connection.
func (w *world) serveOkta(flags ...string) {
	t := w.t
	t.Helper()
	idpOnce.Do(func() {
		var err error
		if theIdP, err = samltest.NewIdP("https://idp.example/metadata", "https://idp.example/sso", "https://idp.example/slo", time.Now()); err != nil {
			t.Fatal(err)
		}
	})
	w.idp = theIdP
	w.snapshot.ServiceProvider = snapshot.ServiceProvider{Namespace: w.ns, Name: "main", URL: spURL, TrustedProxies: []string{"127.0.0.0/8"},
		Session:  snapshot.Session{Lifetime: 12 * time.Hour, IdleTimeout: time.Hour, SameSite: "Lax"},
		DebugLog: snapshot.DebugLog{Retention: time.Hour, MaxEntries: 100}, ProfileAttributes: []snapshot.ProfileAttribute{{Name: "department", Mirror: true}}}
	c, err := w.idp.Connection(spURL, "okta", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.UID, c.Enabled, c.Type, c.DisplayName, c.Provisioning.JIT, c.Mapping = "uid-okta", true, "Okta", "Acme", true, identity.Preset("Okta")
	c.Mapping.Rules = []snapshot.Rule{{When: `"ML" in attributes["department"]`, AddGroups: []string{"ml-team"}}}
	w.snapshot.Connections = []snapshot.Connection{c}
	w.snapshot.Domains = []snapshot.Domain{{Domain: "acme.example", Connection: "okta", Binding: "acme"}}
	w.flags = flags
	w.start()
}

// serve writes the snapshot for the process to find.
func (w *world) serve() {
	w.t.Helper()
	encoded, err := snapshot.Encode(w.snapshot)
	if err != nil {
		w.t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "snapshot")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for name, content := range encoded.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// start runs the service provider.
func (w *world) start() {
	w.t.Helper()
	w.serve()
	tokenFile := filepath.Join(w.dir, "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if w.auditKey == "" {
		w.auditKey = filepath.Join(w.dir, "audit.pem")
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			w.t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(w.auditKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.public == "" {
		w.public, w.management = loopback.Free(w.t), loopback.Free(w.t)
	}
	args := append([]string{"--snapshot-dir", filepath.Join(w.dir, "snapshot"), "--store", "sqlite://" + filepath.Join(w.dir, "sso.db"), "--listen", w.public,
		"--management-listen", w.management, "--management-token-file", tokenFile, "--audit-writer", "test", "--audit-key-file", w.auditKey, "--drain", "0s"}, w.flags...)
	command := exec.Command(filepath.Join(programs, "serviceprovider"), args...)
	command.Stdout = io.Discard // audit records
	w.process = daemon.Run(w.t, command, "")
	w.pods.Store(w.pod.Name, w.management)
	w.process.AwaitReady(w.management)
}

// Forward leads straight to the process, where kubectl would go through the API server and the node.
func (w *world) Forward(_ context.Context, pod *corev1.Pod) (string, func(), error) {
	address, ok := w.pods.Load(pod.Name)
	if !ok {
		return "", nil, fmt.Errorf("pod %s has no node", pod.Name)
	}
	return address.(string), func() {}, nil
}

// result is what a command line came to.
type result struct {
	code           int
	stdout, stderr string
}

// sso runs a command line in the world's namespace.
func (w *world) sso(args ...string) result {
	w.t.Helper()
	return w.ssoContext(w.t.Context(), args...)
}

func (w *world) ssoContext(ctx context.Context, args ...string) result {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--kubeconfig", w.kubeconfig, "-n", w.ns)
	code := cli.Run(ctx, args, cli.Options{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Forward: w})
	return result{code, stdout.String(), stderr.String()}
}

// must runs a command line that has to end with this exit code, and returns what it printed.
func (w *world) must(code int, args ...string) string {
	w.t.Helper()
	got := w.sso(args...)
	if got.code != code {
		w.t.Fatalf("%v: exit %d, want %d\n%s%s", args, got.code, code, got.stdout, got.stderr)
	}
	return got.stdout
}

// contains holds that every part is in the text.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

// fails holds that a command line ends with one line on standard error that says this.
func (w *world) fails(args []string, parts ...string) {
	w.t.Helper()
	got := w.sso(args...)
	if got.code != 2 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.HasPrefix(got.stderr, "error: ") {
		w.t.Errorf("%v: %+v", args, got)
	}
	contains(w.t, got.stderr, parts...)
}
