// Package controllers tests the operator's reconciler on a real API server. Pods are objects without a kubelet; what they answer is
// computed from the snapshot Secrets, as a service provider would.
package controllers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/go-logr/logr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/controllers"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

var (
	apiServer *rest.Config
	objects   = runtime.NewScheme()
	k8s       client.Client
	log       = &auditLog{}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(objects); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	root := filepath.Join("..", "..")
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		os.Setenv("KUBEBUILDER_ASSETS", filepath.Join(root, ".cluster", "assets"))
	}
	environment := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(root, "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	var err error
	if apiServer, err = environment.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server (make assets builds it):", err)
		return 1
	}
	defer func() { _ = environment.Stop() }()
	if k8s, err = client.New(apiServer, client.Options{Scheme: objects}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sallyport-system"}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := startOperator(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func startOperator(ctx context.Context) error {
	skip := true
	manager, err := ctrl.NewManager(apiServer, ctrl.Options{Scheme: objects, Metrics: metricsserver.Options{BindAddress: "0"}, Cache: controllers.CacheOptions(nil),
		Controller: config.Controller{SkipNameValidation: &skip}})
	if err != nil {
		return err
	}
	reconciler := &controllers.Reconciler{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Events: manager.GetEventRecorder("sallyport-operator"), Audit: log,
		Clock: clock.RealClock{}, Ask: servedRevision, Fetcher: trust.NewFetcher(trust.FetcherOptions{AllowLoopback: true, Timeout: 2 * time.Second}),
		Options: controllers.Options{Image: "sallyport.dev/sallyport:test", Namespace: "sallyport-system"},
	}
	if err := reconciler.SetUp(manager); err != nil {
		return err
	}
	go func() {
		if err := manager.Start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()
	return nil
}

// servedRevision answers as a service provider does that reads its snapshot Secrets.
func servedRevision(ctx context.Context, pod *corev1.Pod, token, want string) (string, error) {
	if token == "" {
		return "", fmt.Errorf("the operator asked without the token")
	}
	name := pod.Labels[render.LabelInstance]
	_, revision, err := snapshot.Decode(func(file string) ([]byte, error) {
		var secret corev1.Secret
		if err := k8s.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: snapshot.SecretName(name, file)}, &secret); err != nil {
			return nil, err
		}
		return secret.Data[file], nil
	})
	return revision, err
}

// namespace makes a namespace of its own for a test.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := k8s.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// readyPod makes a pod of the ServiceProvider that is ready.
func readyPod(t *testing.T, ns, serviceProvider string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: serviceProvider + "-", Labels: render.Labels(serviceProvider)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "service-provider", Image: "none"}}}}
	if err := k8s.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	if err := k8s.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// auditLog keeps what the operator recorded.
type auditLog struct{ records chanSafe }

func (l *auditLog) Write(_ context.Context, r audit.Record) error { l.records.add(r); return nil }
