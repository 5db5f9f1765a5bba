// Package nodeless runs the operator and the service provider as the programs that they are, beside an API server that has no node: it does the kubelet's part.
package nodeless

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/test/internal/apiserver"
	"sallyport.dev/sallyport/test/internal/await"
	"sallyport.dev/sallyport/test/internal/daemon"
)

// Machine is where the programs run.
type Machine struct {
	Config *rest.Config
	Client client.Client
	// Kubeconfig is for the programs, and Programs is where they are.
	Kubeconfig, Programs string
	// PodIP is the address of the one pod, on loopback. Its management port is always the same: another run has another address.
	PodIP string
}

// Run starts an API server with our kinds, builds both programs, runs the tests of a package with them and returns its exit code.
func (m *Machine) Run(tests *testing.M) int {
	dir, err := os.MkdirTemp("", "sallyport-nodeless-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	m.Programs, m.Kubeconfig, m.PodIP = dir, filepath.Join(dir, "kubeconfig"), fmt.Sprintf("127.0.%d.%d", 1+rand.IntN(250), 1+rand.IntN(250))
	environment := apiserver.Environment()
	defer func() { _ = environment.Stop() }()
	if err := m.set(environment); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return tests.Run()
}

func (m *Machine) set(environment *envtest.Environment) error {
	build := exec.Command("go", "build", "-o", m.Programs+"/", "./cmd/operator", "./cmd/serviceprovider")
	build.Dir = apiserver.Root()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	ctrl.SetLogger(logr.Discard())
	objects := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(objects); err != nil {
			return err
		}
	}
	var err error
	if m.Config, err = environment.Start(); err != nil {
		return fmt.Errorf("starting the API server (make assets builds it): %w", err)
	}
	if m.Client, err = client.New(m.Config, client.Options{Scheme: objects}); err != nil {
		return err
	}
	return os.WriteFile(m.Kubeconfig, environment.KubeConfig, 0o600)
}

// Start runs a program with these variables besides its environment, and ends it with the test.
func (m *Machine) Start(t *testing.T, name string, environment []string, arguments ...string) *daemon.Process {
	t.Helper()
	command := exec.Command(filepath.Join(m.Programs, name), arguments...)
	command.Env = append(append(os.Environ(), "KUBECONFIG="+m.Kubeconfig), environment...)
	return daemon.Run(t, command, "")
}

// Mount copies the snapshot's Secrets and the token of the management API into a directory again and again, as a kubelet does for a pod.
func (m *Machine) Mount(t *testing.T, namespace, serviceProvider string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	place := func() {
		m.copyKey(ctx, namespace, render.ManagementSecretName(serviceProvider), "token", dir)
		// The index is last: it names the shards.
		for _, file := range append(snapshot.FileNames(), snapshot.IndexFile) {
			m.copyKey(ctx, namespace, snapshot.SecretName(serviceProvider, file), file, dir)
		}
	}
	running.Go(func() {
		for ctx.Err() == nil {
			place()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	await.Until(t, "there is a snapshot and a token", func() bool {
		_, err := os.Stat(filepath.Join(dir, snapshot.IndexFile))
		_, err2 := os.Stat(filepath.Join(dir, "token"))
		return err == nil && err2 == nil
	})
	return dir
}

func (m *Machine) copyKey(ctx context.Context, namespace, secret, key, dir string) {
	var found corev1.Secret
	if err := m.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: secret}, &found); err != nil || len(found.Data[key]) == 0 {
		return
	}
	temporary := filepath.Join(dir, "."+key)
	if os.WriteFile(temporary, found.Data[key], 0o600) == nil {
		_ = os.Rename(temporary, filepath.Join(dir, key))
	}
}

// Pod makes the pod at PodIP, ready, and removes it with the test.
func (m *Machine) Pod(t *testing.T, namespace, serviceProvider string) {
	t.Helper()
	restricted := &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: serviceProvider + "-0", Labels: render.Labels(serviceProvider)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "service-provider", Image: "none", SecurityContext: restricted}}}}
	if err := m.Client.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Client.Delete(context.Background(), p, client.GracePeriodSeconds(0)) })
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: m.PodIP, PodIPs: []corev1.PodIP{{IP: m.PodIP}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}}
	if err := m.Client.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}
