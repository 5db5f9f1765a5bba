// Package cli tests `kubectl sso` on a real API server and with a service provider that runs as its own process on a real store. What no API server
// without a node can do is to forward a port: the tests reach the management port directly, and test/e2e goes through the node.
package cli

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/apiserver"
)

var (
	environment *envtest.Environment
	apiServer   *rest.Config
	k8s         client.WithWatch
	// programs is where the built programs are.
	programs string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	fail := func(what string, err error) int {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		return 1
	}
	objects := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(objects); err != nil {
			return fail("scheme", err)
		}
	}
	var err error
	if programs, err = os.MkdirTemp("", "sallyport-cli-"); err != nil {
		return fail("a directory", err)
	}
	defer os.RemoveAll(programs)
	build := exec.Command("go", "build", "-o", programs+"/", "sallyport.dev/sallyport/cmd/serviceprovider", "sallyport.dev/sallyport/cmd/kubectl-sso")
	if out, err := build.CombinedOutput(); err != nil {
		return fail(string(out), err)
	}
	environment = apiserver.Environment()
	environment.ControlPlane.GetAPIServer().Configure().Append("enable-admission-plugins", "NamespaceLifecycle")
	if apiServer, err = environment.Start(); err != nil {
		return fail("starting the API server (make assets builds it)", err)
	}
	defer func() { _ = environment.Stop() }()
	apiServer.QPS = -1
	if k8s, err = client.NewWithWatch(apiServer, client.Options{Scheme: objects}); err != nil {
		return fail("client", err)
	}
	return storetest.Main(m)
}
