package proxies

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/hack/proxies"
	"sallyport.dev/sallyport/test/internal/apiserver"
	"sallyport.dev/sallyport/test/internal/loopback"
	"sallyport.dev/sallyport/test/internal/page"
)

// cluster is an API server with the kinds that Traefik and Envoy Gateway read, and no node: Traefik runs beside it, as it may.
type cluster struct {
	client.Client
	kubeconfig string
}

// serviceNet is where the Services' addresses come from. They are addresses of this machine, so that what listens there is what the Service leads to.
const serviceNet = "127.77.0.0/24"

func startCluster(t *testing.T) *cluster {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	environment := &envtest.Environment{BinaryAssetsDirectory: apiserver.Assets(), ErrorIfCRDPathMissing: true, CRDDirectoryPaths: kinds(t)}
	environment.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", serviceNet)
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = environment.Stop() })
	admin, err := environment.AddUser(envtest.User{Name: "traefik", Groups: []string{"system:masters"}}, config)
	if err != nil {
		t.Fatal(err)
	}
	content, err := admin.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(c.kubeconfig, content, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// A field that the kind does not have is an error, not dropped.
	c.Client = client.WithFieldValidation(plain, metav1.FieldValidationStrict)
	return c
}

// kinds are the files of the kinds that the page's objects are of, and of those that Traefik watches besides: each one that is left out saves time.
func kinds(t *testing.T) []string {
	t.Helper()
	files := []string{filepath.Join(moduleOf(t, "traefik", "github.com/traefik/traefik/v3"), "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml")}
	gateway, envoys := moduleOf(t, "traefik", "sigs.k8s.io/gateway-api"), moduleOf(t, "egctl", "github.com/envoyproxy/gateway")
	for _, kind := range []string{"gatewayclasses", "gateways", "httproutes", "referencegrants", "grpcroutes", "tlsroutes", "backendtlspolicies"} {
		files = append(files, filepath.Join(gateway, "config/crd/experimental", "gateway.networking.k8s.io_"+kind+".yaml"))
	}
	for _, kind := range []string{"securitypolicies", "clienttrafficpolicies"} {
		files = append(files, filepath.Join(envoys, "charts/gateway-helm/charts/crds/crds/generated", "gateway.envoyproxy.io_"+kind+".yaml"))
	}
	return files
}

// moduleOf is the folder of a module that a program of hack/proxies is built from.
func moduleOf(t *testing.T, program, module string) string {
	t.Helper()
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Dir, command.Env = filepath.Join("../../hack/proxies", program), append(os.Environ(), "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	return found.Dir
}

// read takes YAML apart.
func read(t *testing.T, manifests string) (objects []*unstructured.Unstructured) {
	t.Helper()
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	return objects
}

// apply creates objects from YAML, and deletes them when the test ends.
func (c *cluster) apply(t *testing.T, manifests string) {
	t.Helper()
	for _, object := range read(t, manifests) {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		t.Cleanup(func() { _ = c.Delete(context.Background(), object) })
	}
}

// replace puts an object in the place of one of the same name.
func (c *cluster) replace(t *testing.T, manifest string) {
	t.Helper()
	object := read(t, manifest)[0]
	there := object.DeepCopy()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), there); err != nil {
		t.Fatal(err)
	}
	object.SetResourceVersion(there.GetResourceVersion())
	if err := c.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// surroundings are what the page takes for granted: namespaces, the application's Service and certificate, a Gateway, and a class.
func (c *cluster) surroundings(t *testing.T, port string) {
	t.Helper()
	tls := func(namespace string) string {
		secret, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": map[string]string{"name": "grafana-tls", "namespace": namespace},
			"data": map[string][]byte{"tls.crt": w(t).pair.Certificate, "tls.key": w(t).pair.Key}})
		if err != nil {
			t.Fatal(err)
		}
		return string(secret)
	}
	c.apply(t, strings.Join([]string{
		"{apiVersion: v1, kind: Namespace, metadata: {name: monitoring}}", "{apiVersion: v1, kind: Namespace, metadata: {name: infra}}", tls("monitoring"), tls("infra"),
		"{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx}, spec: {controller: k8s.io/ingress-nginx}}",
		"{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: traefik}, spec: {controller: traefik.io/ingress-controller}}",
		"{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: traefik}, spec: {controllerName: traefik.io/gateway-controller}}",
		"{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gateway, namespace: infra}, spec: {gatewayClassName: traefik, listeners: [" +
			"{name: https, protocol: HTTPS, port: " + port + ", hostname: '*.example.com', tls: {certificateRefs: [{name: grafana-tls}]}, allowedRoutes: {namespaces: {from: All}}}]}}",
	}, "\n---\n"))
}

// service makes the Service grafana. The providers differ in which kinds of Service they can follow to an address of this machine.
func (c *cluster) service(t *testing.T, external bool) {
	t.Helper()
	host, port, _ := net.SplitHostPort(w(t).application.address)
	if external {
		c.apply(t, "{apiVersion: v1, kind: Service, metadata: {name: grafana, namespace: monitoring}, spec: {type: ExternalName, externalName: localhost, ports: [{port: 3000, targetPort: "+port+"}]}}")
		return
	}
	const address = "127.77.0.10"
	forward(t, address+":3000", net.JoinHostPort(host, port))
	c.apply(t, "{apiVersion: v1, kind: Service, metadata: {name: grafana, namespace: monitoring}, spec: {clusterIP: "+address+", ports: [{port: 3000}]}}")
}

// forward passes connections on, as the node's own rules do for a Service.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() { listener.Close(); running.Wait() })
	running.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(connection, to)
		}
	})
}

// pass copies both ways until one side ends.
func pass(connection net.Conn, to string) {
	defer connection.Close()
	other, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer other.Close()
	go func() { _, _ = io.Copy(other, connection); other.Close() }()
	_, _ = io.Copy(connection, other)
}

// startTraefikOn runs Traefik with providers for the cluster's objects. The service provider's own host comes from a file.
func startTraefikOn(t *testing.T, c *cluster, address string, flags ...string) {
	t.Helper()
	program, err := proxies.Program("traefik")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"tls.crt": string(w(t).pair.Certificate), "tls.key": string(w(t).pair.Key), "sso.yaml": fmt.Sprintf(`
http:
  routers: {sso: {rule: "Host(%[1]s%[2]s%[1]s)", entryPoints: [websecure], tls: {}, service: sso}}
  services: {sso: {loadBalancer: {servers: [{url: "http://%[3]s"}]}}}
tls: {certificates: [{certFile: %[4]s/tls.crt, keyFile: %[4]s/tls.key}]}
`, "`", ssoHost, w(t).spAddress(), dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBECONFIG", c.kubeconfig)
	execute(t, address, program, append([]string{"--entryPoints.websecure.address=" + address, "--entryPoints.websecure.http.aliasHeadersStrategy=delete",
		"--providers.file.filename=" + dir + "/sso.yaml", "--providers.providersThrottleDuration=10ms", "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false", "--log.level=INFO"}, flags...)...)
	for _, host := range []string{ssoURL + "/signin", appURL + "/"} {
		awaitRoute(t, address, host)
	}
}

// awaitRoute waits until the proxy knows a host.
func awaitRoute(t *testing.T, address, url string) {
	t.Helper()
	asking := &http.Client{Transport: newBrowser(t, address).Transport, Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		response, err := asking.Get(url)
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusNotFound && response.StatusCode < 500 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the proxy has no route for %s: %v %v", url, response, err)
		}
	}
}

// TestTraefikInKubernetes guards an application by the objects that docs/proxies/kubernetes.md prints for Traefik.
func TestTraefikInKubernetes(t *testing.T) {
	files := page.Files(t, "../../docs/proxies/kubernetes.md", "main-sallyport.sso.svc.cluster.local:80", w(t).spAddress(), "main-sallyport.sso.svc.cluster.local/", w(t).spAddress()+"/")
	c, address := startCluster(t), loopback.Free(t)
	_, port, _ := net.SplitHostPort(address)
	c.surroundings(t, port)
	c.accepts(t, files)
	// The page says how the middleware is called with safeNaming.
	files["/traefik/own-ingress, safe.yaml"] = strings.ReplaceAll(files["/traefik/own-ingress.yaml"], "monitoring-sallyport@", "monitoring_sallyport@")
	for name, way := range map[string]struct {
		objects  []string
		external bool
		flags    []string
	}{
		"IngressRoute": {[]string{"middleware", "ingressroute"}, false, []string{"--providers.kubernetesCRD=true", "--providers.kubernetesCRD.nativeLBByDefault=true"}},
		"HTTPRoute":    {[]string{"middleware", "httproute"}, false, []string{"--providers.kubernetesCRD=true", "--providers.kubernetesCRD.safeNaming=true", "--providers.kubernetesGateway=true", "--providers.kubernetesGateway.nativeLBByDefault=true"}},
		"Ingress":      {[]string{"middleware", "own-ingress"}, false, []string{"--providers.kubernetesCRD=true", "--providers.kubernetesIngress=true", "--providers.kubernetesIngress.nativeLBByDefault=true"}},
		"Ingress, safe": {[]string{"middleware", "own-ingress, safe"}, false, []string{"--providers.kubernetesCRD=true", "--providers.kubernetesCRD.safeNaming=true",
			"--providers.kubernetesIngress=true", "--providers.kubernetesIngress.nativeLBByDefault=true"}},
		"Ingress with ingress-nginx's annotations": {[]string{"ingress"}, true, []string{"--providers.kubernetesIngressNGINX=true", "--providers.kubernetesIngressNGINX.httpsEntryPoint=websecure"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.service(t, way.external)
			for _, object := range way.objects {
				c.apply(t, files["/traefik/"+object+".yaml"])
			}
			startTraefikOn(t, c, address, way.flags...)
			p := &running{name, address}
			guards(t, p)
			switch name {
			case "HTTPRoute":
				c.replace(t, files["/gateway-api/httproute.yaml"])
				closesOnAnUnknownFilter(t, p)
			case "Ingress with ingress-nginx's annotations":
				c.replace(t, files["/ingress-nginx/ingress.yaml"])
				cannotBeTakenOver(t, p)
			}
		})
	}
}

// accepts has the API server look at every object of the page, for whichever controller it is.
func (c *cluster) accepts(t *testing.T, files map[string]string) {
	t.Helper()
	c.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: sso}}")
	for path, manifest := range files {
		for _, object := range read(t, manifest) {
			if err := c.Create(t.Context(), object, client.DryRunAll); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// closesOnAnUnknownFilter holds what the page says of the Gateway API's ExternalAuth: Traefik does not know it, and lets nobody in.
func closesOnAnUnknownFilter(t *testing.T, p *running) {
	t.Helper()
	awaitAnswer(t, p, "/public/x", http.StatusInternalServerError)
	w(t).application.take()
	if got := newBrowser(t, p.address).get(appURL + "/public/x"); got.status != http.StatusInternalServerError || len(w(t).application.take()) > 0 {
		t.Errorf("a route whose filter is not known: %d", got.status)
	}
}

// cannotBeTakenOver holds why the page changes ingress-nginx's Ingress for Traefik: unchanged, nobody gets in as long as there are access rules, and whoever writes X-Original-URL
// chooses the rule.
func cannotBeTakenOver(t *testing.T, p *running) {
	t.Helper()
	awaitAnswer(t, p, "/public/x", http.StatusInternalServerError)
	w(t).application.take()
	if got := newBrowser(t, p.address).ask("GET", appURL+"/admin", "", "X-Original-Url", appURL+"/public/x", "X-Original-Method", "GET"); got.status != http.StatusOK {
		t.Errorf("Traefik no longer hands on the client's X-Original-URL (%d): the page warns of it", got.status)
	}
	w(t).application.take()
}

// awaitAnswer waits until the proxy has taken an object in.
func awaitAnswer(t *testing.T, p *running, path string, status int) {
	t.Helper()
	b := newBrowser(t, p.address)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got := b.get(appURL + path)
		if got.status == status {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, not %d", path, got.status, status)
		}
	}
}

// guards is what a person, a call and somebody who forges get.
func guards(t *testing.T, p *running) {
	t.Helper()
	const email = "alice@acme.example"
	b, landed := p.signIn(t, email, appURL+"/d/board?a=1")
	judge(t, "signed in", landed.printed(t).Head, email)
	if got := headerOf(landed.printed(t).Head, "Remote-Groups"); got != "dev,ml%2Cteam" {
		t.Errorf("Remote-Groups is %q", got)
	}
	stranger := newBrowser(t, p.address)
	if got := stranger.ask("GET", appURL+"/api/x", "", "Accept", "application/json"); got.status != http.StatusUnauthorized {
		t.Errorf("a call, signed out: %d", got.status)
	}
	if got := b.ask("GET", appURL+"/admin", "", "Accept", "application/json"); got.status != http.StatusForbidden {
		t.Errorf("a path for operators: %d", got.status)
	}
	// What a client says about where it goes does not count.
	elsewhere := []string{"Accept", "application/json", "X-Original-Url", appURL + "/public/x", "X-Original-Method", "GET", "X-Forwarded-Uri", "/public/x", "X-Forwarded-Host", appHost}
	if got := stranger.ask("GET", appURL+"/api/x", "", elsewhere...); got.status != http.StatusUnauthorized {
		t.Errorf("a call that says it goes to a public path: %d", got.status)
	}
	w(t).application.take()
	for _, name := range spellings {
		for _, as := range []struct {
			b          *browser
			path, user string
		}{{b, "/d/board", email}, {stranger, "/public/x", ""}} {
			status, connection, _ := raw(t, p.address, "GET "+as.path+" HTTP/1.1\r\nHost: "+appHost+"\r\nCookie: "+as.b.cookies()+"\r\n"+name+": "+forged+"\r\n\r\n")
			connection.Close()
			seen := w(t).application.take()
			if len(seen) == 0 && status == 200 {
				t.Errorf("%s: 200, and not from the application", name)
			}
			for _, head := range seen {
				judge(t, name, head, as.user)
			}
		}
	}
}
