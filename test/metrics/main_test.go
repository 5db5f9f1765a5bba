// Package metrics runs the operator and the service provider as the programs that they are, against a real API server, has them do what they are for, and
// holds what they answer on /metrics against docs/metrics.md, the alerts, the dashboards and the runbooks.
package metrics

import (
	"context"
	"fmt"
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
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/test/internal/apiserver"
	"sallyport.dev/sallyport/test/internal/daemon"
)

const (
	root = "../.."
	// patience is how long is waited for what should take a second: a machine may have other things to do.
	patience = 90 * time.Second
	// podIP is where the operator finds the service provider's management port, which is always the same.
	podIP = "127.0.77.82"
)

var (
	k8s client.Client
	// kubeconfig is for the operator and kubectl, bin where the programs are.
	kubeconfig, bin string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	fail := func(what string, err error) int {
		fmt.Fprintln(os.Stderr, what+":", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "sallyport-metrics-")
	if err != nil {
		return fail("a directory", err)
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/operator", "./cmd/serviceprovider")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fail("building the programs", fmt.Errorf("%w\n%s", err, out))
	}
	ctrl.SetLogger(logr.Discard())
	environment := apiserver.Environment()
	config, err := environment.Start()
	if err != nil {
		return fail("starting the API server (make assets builds it)", err)
	}
	defer func() { _ = environment.Stop() }()
	kubeconfig = filepath.Join(dir, "kubeconfig")
	objects := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(objects); err != nil {
			return fail("the scheme", err)
		}
	}
	if k8s, err = client.New(config, client.Options{Scheme: objects}); err == nil {
		err = os.WriteFile(kubeconfig, environment.KubeConfig, 0o600)
	}
	if err != nil {
		return fail("a client", err)
	}
	return m.Run()
}

// program starts one of ours and ends it with the test.
func program(t *testing.T, name string, arguments ...string) {
	t.Helper()
	command := exec.Command(filepath.Join(bin, name), arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	daemon.Run(t, command, "")
}

// eventually waits until what holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// mounted copies the snapshot's Secrets and the token into a directory again and again, as a kubelet does for a pod.
func mounted(t *testing.T, namespace, serviceProvider string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	place := func() {
		copyKey(ctx, namespace, render.ManagementSecretName(serviceProvider), "token", dir)
		// The index is last: it names the shards.
		files := snapshot.FileNames()
		for _, file := range append(files, snapshot.IndexFile) {
			copyKey(ctx, namespace, snapshot.SecretName(serviceProvider, file), file, dir)
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
	eventually(t, "there is a snapshot and a token", func() bool {
		_, err := os.Stat(filepath.Join(dir, snapshot.IndexFile))
		_, err2 := os.Stat(filepath.Join(dir, "token"))
		return err == nil && err2 == nil
	})
	return dir
}

func copyKey(ctx context.Context, namespace, secret, key, dir string) {
	var found corev1.Secret
	if err := k8s.Get(ctx, types.NamespacedName{Namespace: namespace, Name: secret}, &found); err != nil || len(found.Data[key]) == 0 {
		return
	}
	temporary := filepath.Join(dir, "."+key)
	if os.WriteFile(temporary, found.Data[key], 0o600) == nil {
		_ = os.Rename(temporary, filepath.Join(dir, key))
	}
}

// pod makes the pod whose management port is at podIP, ready.
func pod(t *testing.T, namespace, serviceProvider string) {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: serviceProvider + "-0", Labels: render.Labels(serviceProvider)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "service-provider", Image: "none"}}}}
	if err := k8s.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: podIP, PodIPs: []corev1.PodIP{{IP: podIP}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}}
	if err := k8s.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}
