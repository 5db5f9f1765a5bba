package proxies

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/hack/proxies"
	"sallyport.dev/sallyport/test/internal/page"
)

var translate = flag.Bool("translate", false, "have Envoy Gateway's own translator read the page's objects, and write what it makes of them into testdata/envoygateway")

// translation is what Envoy Gateway makes of the page's objects: `make samples` writes it. The other tests take it from the file, since building the
// translator takes minutes.
type translation struct {
	// Objects are what was translated.
	Objects string `json:"objects"`
	// Status is what the translator says of each route and policy: its conditions.
	Status map[string]map[string]string `json:"status"`
	// Manager, Routes, Clusters and Endpoints are Envoy's configuration, without logs, certificates and load balancing.
	Manager   json.RawMessage   `json:"manager"`
	Routes    json.RawMessage   `json:"routes"`
	Clusters  []json.RawMessage `json:"clusters"`
	Endpoints []json.RawMessage `json:"endpoints"`
}

// around are the objects that the page takes for granted, and the route that `spec.expose.httpRoute` makes.
const around = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: envoy}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, namespace: infra}
spec:
  gatewayClassName: envoy
  listeners:
  - name: https
    protocol: HTTPS
    port: 443
    tls: {mode: Terminate, certificateRefs: [{group: "", kind: Secret, name: tls}]}
    allowedRoutes: {namespaces: {from: All}}
---
apiVersion: v1
kind: Service
metadata: {name: grafana, namespace: monitoring}
spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 3000}]}
---
apiVersion: v1
kind: Service
metadata: {name: main-sallyport, namespace: sso}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}, {name: grpc, port: 9001}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: main-sallyport, namespace: sso}
spec:
  parentRefs: [{name: gateway, namespace: infra, sectionName: https}]
  hostnames: [sso.example.com]
  rules: [{backendRefs: [{name: main-sallyport, port: 80}]}]
`

// variants are the page's objects that ask over HTTP, over gRPC, and by the Gateway API's own filter.
var variants = map[string][]string{
	"http":         {"gateway-api/handover", "envoy-gateway/httproute", "envoy-gateway/securitypolicy", "envoy-gateway/referencegrant", "envoy-gateway/clienttrafficpolicy"},
	"grpc":         {"gateway-api/handover", "envoy-gateway/httproute", "envoy-gateway/securitypolicy-grpc", "envoy-gateway/referencegrant", "envoy-gateway/clienttrafficpolicy"},
	"externalauth": {"gateway-api/handover", "gateway-api/httproute", "gateway-api/referencegrant", "envoy-gateway/clienttrafficpolicy"},
}

func objects(t *testing.T, variant string) string {
	t.Helper()
	files := page.Files(t, "../../docs/proxies/kubernetes.md")
	all := around
	for _, name := range variants[variant] {
		file := files["/"+name+".yaml"]
		if file == "" {
			t.Fatalf("the page prints no /%s.yaml", name)
		}
		all += "---\n" + file
	}
	return all
}

func golden(variant string) string {
	return filepath.Join("testdata", "envoygateway", variant+".yaml")
}

// readTranslation takes a translation from its file. It must be of the objects that the page prints now.
func readTranslation(t *testing.T, variant string) translation {
	t.Helper()
	content, err := os.ReadFile(golden(variant))
	if err != nil {
		t.Fatal(err)
	}
	var found translation
	if err := yaml.UnmarshalStrict(content, &found); err != nil {
		t.Fatal(err)
	}
	if found.Objects != objects(t, variant) {
		t.Fatalf("docs/proxies/kubernetes.md says something else than %s was made of: run 'make samples', and read what changed in it", golden(variant))
	}
	return found
}

// translated is Envoy's configuration as Envoy Gateway makes it from the page's objects.
func translated(t *testing.T, edit func(map[string]string), variant string) *envoyConfig {
	t.Helper()
	found := readTranslation(t, variant)
	routes, err := yaml.JSONToYAML(found.Routes)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := yaml.JSONToYAML(found.Manager)
	if err != nil {
		t.Fatal(err)
	}
	files := edited(t, map[string]string{"routes": string(routes), "manager": string(manager)}, edit)
	var m managerv3.HttpConnectionManager
	var r routev3.RouteConfiguration
	readProto(t, files["manager"], &m)
	readProto(t, files["routes"], &r)
	var clusters []*clusterv3.Cluster
	for _, one := range found.Clusters {
		var cluster clusterv3.Cluster
		readProto(t, string(one), &cluster)
		clusters = append(clusters, &cluster)
	}
	for _, one := range found.Endpoints {
		var assignment endpointv3.ClusterLoadAssignment
		readProto(t, string(one), &assignment)
		for _, cluster := range clusters {
			if cluster.GetEdsClusterConfig().GetServiceName() == assignment.ClusterName {
				cluster.LoadAssignment = &assignment
			}
		}
	}
	return newEnvoyConfig(t, &m, &r, clusters, files["hosts"])
}

// TestEnvoyGatewayTakesThePagesObjects holds that its translator refused none of them, except for the filter that it does not know: nobody gets in there.
func TestEnvoyGatewayTakesThePagesObjects(t *testing.T) {
	for variant := range variants {
		t.Run(variant, func(t *testing.T) {
			if *translate {
				writeTranslation(t, variant)
			}
			found := readTranslation(t, variant)
			taken := []string{"HTTPRoute sso/handover", "HTTPRoute sso/main-sallyport", "ClientTrafficPolicy infra/sallyport"}
			if variant == "externalauth" {
				if found.Status["HTTPRoute monitoring/grafana"]["Accepted"] != "False" || !strings.Contains(string(found.Routes), `{"directResponse":{"status":500},"match":{"prefix":"/"}`) {
					t.Errorf("the page says that Envoy Gateway does not know ExternalAuth: %v %s", found.Status, found.Routes)
				}
			} else {
				taken = append(taken, "HTTPRoute monitoring/grafana", "SecurityPolicy monitoring/sallyport")
			}
			for _, name := range taken {
				if found.Status[name]["Accepted"] != "True" {
					t.Errorf("%s: %v", name, found.Status[name])
				}
				for condition, is := range found.Status[name] {
					if is != "True" {
						t.Errorf("%s: %s is %s", name, condition, is)
					}
				}
			}
		})
	}
}

// writeTranslation runs Envoy Gateway's translator: egctl.
func writeTranslation(t *testing.T, variant string) {
	t.Helper()
	program, err := proxies.Program("egctl")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": map[string]string{"name": "tls", "namespace": "infra"},
		"data": map[string][]byte{"tls.crt": w(t).pair.Certificate, "tls.key": w(t).pair.Key}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(objects(t, variant)+"---\n"+string(secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "experimental", "translate", "--from", "gateway-api", "--to", "gateway-api,xds", "--output", "json", "--file", file)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	content, err := yaml.Marshal(reduced(t, out, objects(t, variant)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(golden(variant)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(golden(variant), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// object is what every kind has in common, here.
type object struct {
	Kind     string
	Metadata struct{ Namespace, Name string }
	Status   struct {
		Parents, Ancestors []struct{ Conditions []condition }
	}
}

type condition struct{ Type, Status string }

// dump is the part of Envoy's config dump that is looked at.
type dump struct {
	Configs []struct {
		DynamicEndpointConfigs []struct{ EndpointConfig map[string]any }
		DynamicActiveClusters  []struct{ Cluster map[string]any }
		DynamicRouteConfigs    []struct{ RouteConfig map[string]any }
		DynamicListeners       []struct {
			ActiveState struct{ Listener any }
		}
	}
}

// reduced takes out of egctl's answer what the tests look at.
func reduced(t *testing.T, answer []byte, objects string) translation {
	t.Helper()
	var all struct {
		HTTPRoutes, SecurityPolicies, ClientTrafficPolicies []object
		XDS                                                 map[string]dump
	}
	if err := json.Unmarshal(answer, &all); err != nil {
		t.Fatal(err)
	}
	out := translation{Objects: objects, Status: map[string]map[string]string{}}
	for _, one := range slices.Concat(all.HTTPRoutes, all.SecurityPolicies, all.ClientTrafficPolicies) {
		name, said := one.Kind+" "+one.Metadata.Namespace+"/"+one.Metadata.Name, map[string]string{}
		for _, about := range append(one.Status.Parents, one.Status.Ancestors...) {
			for _, c := range about.Conditions {
				said[c.Type] = c.Status
			}
		}
		out.Status[name] = said
	}
	for _, config := range all.XDS {
		for _, section := range config.Configs {
			for _, one := range section.DynamicEndpointConfigs {
				out.Endpoints = append(out.Endpoints, message(t, one.EndpointConfig))
			}
			for _, one := range section.DynamicActiveClusters {
				out.Clusters = append(out.Clusters, message(t, one.Cluster))
			}
			for _, one := range section.DynamicRouteConfigs {
				out.Routes = message(t, one.RouteConfig)
			}
			for _, one := range section.DynamicListeners {
				// The other listener is for probes.
				if manager := managerIn(one.ActiveState.Listener); manager["rds"] != nil {
					out.Manager = message(t, manager)
				}
			}
		}
	}
	return out
}

// managerIn finds the connection manager in a listener.
func managerIn(in any) map[string]any {
	switch at := in.(type) {
	case map[string]any:
		if manager, is := at["typedConfig"].(map[string]any); is && at["name"] == "envoy.filters.network.http_connection_manager" {
			return manager
		}
		for _, child := range at {
			if found := managerIn(child); found != nil {
				return found
			}
		}
	case []any:
		for _, child := range at {
			if found := managerIn(child); found != nil {
				return found
			}
		}
	}
	return nil
}

// message is a protobuf message's own fields, without logs and load balancing.
func message(t *testing.T, fields map[string]any) json.RawMessage {
	t.Helper()
	delete(fields, "@type")
	delete(fields, "accessLog")
	delete(fields, "loadBalancingPolicy")
	content, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
