// Package controllers tests the operator on a real API server. Every test has a namespace and an operator of its own. Pods are objects without
// a kubelet; what they serve is followed with the service provider's own code, and asked for over HTTP as the operator asks real pods.
//
// Tests run side by side: they wait most of the time. What is of the whole cluster or is measured in time runs alone before.
package controllers

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/go-logr/logr"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/test/internal/apiserver"
)

var (
	apiServer *rest.Config
	// kubeconfig is for kubectl.
	kubeconfig string
	objects    = kruntime.NewScheme()
	k8s        client.Client
	root       = filepath.Join("..", "..")
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

const (
	// sideBySide is how many tests run at a time for each processor, unless -parallel says otherwise.
	sideBySide = 2
	// roomy is how much a heap grows before its garbage is collected, in percent.
	roomy = 400
)

func run(m *testing.M) int {
	if err := flag.Set("test.parallel", strconv.Itoa(sideBySide*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	level := slog.LevelError + 1
	if os.Getenv("OPERATOR_LOG") != "" {
		level = slog.LevelInfo
	}
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	for _, add := range []func(*kruntime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(objects); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// The API server and etcd inherit it: they spend a quarter of their time on collecting garbage otherwise.
	if os.Getenv("GOGC") == "" {
		os.Setenv("GOGC", strconv.Itoa(roomy))
		debug.SetGCPercent(roomy)
	}
	environment := apiserver.Environment()
	environment.ControlPlane.GetAPIServer().Configure().Append("enable-admission-plugins", "NamespaceLifecycle")
	var err error
	if apiServer, err = environment.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server (make assets builds it):", err)
		return 1
	}
	defer func() { _ = environment.Stop() }()
	apiServer.QPS = -1
	dir, err := os.MkdirTemp("", "sallyport-controllers-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, environment.KubeConfig, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if k8s, err = client.New(apiServer, client.Options{Scheme: objects}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
