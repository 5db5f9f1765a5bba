package proxies

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3" // named in the pages
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3" // named in the pages
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/test/internal/page"
)

const authzFilter = "envoy.filters.http.ext_authz"

// envoyConfig is what Envoy is told, as far as the stand-in plays it. What it does not play is not let in, see plays.
type envoyConfig struct {
	manager  *managerv3.HttpConnectionManager
	early    []*mutationv3.HeaderMutation
	routes   *routev3.RouteConfiguration
	clusters map[string]*clusterv3.Cluster
	// hosts is where the addresses are that the clusters name.
	hosts map[string]string
}

// hosts says where the addresses of the configurations are: the stand-in's own resolver, which a test may edit like a file.
func hosts(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`main-sallyport.sso.svc.cluster.local:80 %[1]s
main-sallyport.sso.svc.cluster.local:9001 %[2]s
grafana.monitoring.svc.cluster.local:3000 %[3]s
10.96.0.10:80 %[1]s
10.96.0.10:9001 %[2]s
10.96.0.20:3000 %[3]s
`, w(t).spAddress(), w(t).grpc, w(t).application.address)
}

// edited are a configuration's files and the resolver's, after a test's changes.
func edited(t *testing.T, files map[string]string, edit func(map[string]string)) map[string]string {
	t.Helper()
	files = maps.Clone(files)
	files["hosts"] = hosts(t)
	if edit != nil {
		edit(files)
	}
	return files
}

type validated interface {
	proto.Message
	ValidateAll() error
}

func readProto(t *testing.T, text string, into validated) {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(asJSON, into); err != nil {
		t.Fatal(err)
	}
	if err := into.ValidateAll(); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, from *anypb.Any, into validated) {
	t.Helper()
	if err := from.UnmarshalTo(into); err != nil {
		t.Fatal(err)
	}
	if err := into.ValidateAll(); err != nil {
		t.Fatal(err)
	}
}

// pageOfEnvoy is the configuration of docs/proxies/envoy.md, over HTTP, or over gRPC with the page's other filter and its cluster.
func pageOfEnvoy(t *testing.T, edit func(map[string]string), overGRPC bool) *envoyConfig {
	t.Helper()
	files := edited(t, page.Files(t, "../../docs/proxies/envoy.md"), edit)
	var bootstrap bootstrapv3.Bootstrap
	readProto(t, files["/etc/envoy/envoy.yaml"], &bootstrap)
	var manager managerv3.HttpConnectionManager
	unpack(t, bootstrap.StaticResources.Listeners[0].FilterChains[0].Filters[0].GetTypedConfig(), &manager)
	clusters := bootstrap.StaticResources.Clusters
	if overGRPC {
		var filter managerv3.HttpFilter
		readProto(t, files["/etc/envoy/ext-authz-grpc.yaml"], &filter)
		manager.HttpFilters[0] = &filter
		var cluster clusterv3.Cluster
		readProto(t, files["/etc/envoy/sallyport-grpc.yaml"], &cluster)
		clusters = append(clusters, &cluster)
	}
	return newEnvoyConfig(t, &manager, manager.GetRouteConfig(), clusters, files["hosts"])
}

func newEnvoyConfig(t *testing.T, manager *managerv3.HttpConnectionManager, routes *routev3.RouteConfiguration, clusters []*clusterv3.Cluster, hosts string) *envoyConfig {
	t.Helper()
	c := &envoyConfig{manager: manager, routes: routes, clusters: map[string]*clusterv3.Cluster{}, hosts: map[string]string{}}
	for _, extension := range manager.EarlyHeaderMutationExtensions {
		var early earlyv3.HeaderMutation
		unpack(t, extension.TypedConfig, &early)
		c.early = append(c.early, early.Mutations...)
	}
	for _, cluster := range clusters {
		c.clusters[cluster.Name] = cluster
	}
	for line := range strings.Lines(hosts) {
		name, address, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.hosts[name] = address
	}
	c.plays(t)
	return c
}

func (c *envoyConfig) addressOf(t *testing.T, cluster string) string {
	endpoints := c.clusters[cluster].GetLoadAssignment().GetEndpoints()
	if len(endpoints) != 1 || len(endpoints[0].GetLbEndpoints()) != 1 {
		t.Errorf("the cluster %q has no endpoint, or several", cluster)
		return ""
	}
	at := endpoints[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress()
	address := c.hosts[net.JoinHostPort(at.GetAddress(), strconv.Itoa(int(at.GetPortValue())))]
	if address == "" {
		t.Errorf("the cluster %q leads to %v, which is nowhere", cluster, at)
	}
	return address
}

// speaksHTTP2 says whether a cluster's servers are spoken to over HTTP/2, as gRPC needs.
func (c *envoyConfig) speaksHTTP2(t *testing.T, cluster string) bool {
	options := c.clusters[cluster].GetTypedExtensionProtocolOptions()["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
	if options == nil {
		return false
	}
	var protocol upstreamsv3.HttpProtocolOptions
	unpack(t, options, &protocol)
	return protocol.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil
}

// filterOn is the filter that asks about a route's requests, with what the route adds to the question; nil where nobody is asked.
func (c *envoyConfig) filterOn(t *testing.T, route *routev3.Route) (*authzv3.ExtAuthz, map[string]string) {
	for _, one := range c.manager.GetHttpFilters() {
		if !strings.HasPrefix(one.Name, authzFilter) {
			continue
		}
		enabled, extensions := !one.Disabled, map[string]string(nil)
		if settings := route.GetTypedPerFilterConfig()[one.Name]; settings != nil {
			var per authzv3.ExtAuthzPerRoute
			unpack(t, settings, &per)
			// A filter that is off is turned on by a route's settings for it.
			enabled, extensions = !per.GetDisabled(), per.GetCheckSettings().GetContextExtensions()
		}
		if enabled {
			var filter authzv3.ExtAuthz
			unpack(t, one.GetTypedConfig(), &filter)
			return &filter, extensions
		}
	}
	return nil, nil
}

// asksWith are the headers that the service provider looks at: the cookie, and what tells a page from a call.
var asksWith = []string{"accept", "access-control-request-method", "cookie", "origin", "sec-fetch-mode", "upgrade", "user-agent", "x-requested-with"}

// plays fails the test for a configuration that says something else than what the pages promise and the stand-in does.
func (c *envoyConfig) plays(t *testing.T) {
	t.Helper()
	m := c.manager
	if !m.GetNormalizePath().GetValue() || !m.GetMergeSlashes() || m.GetPathWithEscapedSlashesAction() != managerv3.HttpConnectionManager_REJECT_REQUEST || !m.GetUseRemoteAddress().GetValue() {
		t.Error("a path has more than one meaning, or what the client says of its address counts")
	}
	for _, mutation := range c.early {
		if mutation.GetRemoveOnMatch().GetKeyMatcher() == nil {
			t.Errorf("an early mutation does more than remove: %v", mutation)
		}
	}
	found := 0
	for _, one := range m.GetHttpFilters() {
		if strings.HasPrefix(one.Name, authzFilter) {
			var filter authzv3.ExtAuthz
			unpack(t, one.GetTypedConfig(), &filter)
			playsFilter(t, &filter)
			if cluster := filter.GetGrpcService().GetEnvoyGrpc().GetClusterName(); cluster != "" && !c.speaksHTTP2(t, cluster) {
				t.Errorf("the cluster %q is asked over gRPC and does not speak HTTP/2", cluster)
			}
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d filters ask", found)
	}
}

func playsFilter(t *testing.T, f *authzv3.ExtAuthz) {
	t.Helper()
	if f.FailureModeAllow || f.GetFailureModeAllowHeaderAdd() {
		t.Error("the door is open while nobody answers")
	}
	if f.WithRequestBody != nil {
		t.Error("the body is sent along")
	}
	if f.DecoderHeaderMutationRules != nil || f.StatusOnError != nil || f.FilterEnabled != nil || f.DisallowedHeaders != nil || f.ClearRouteCache {
		t.Errorf("the stand-in does not play all of %v", f)
	}
	var asks []string
	for _, m := range f.GetAllowedHeaders().GetPatterns() {
		asks = append(asks, m.GetExact())
	}
	slices.Sort(asks)
	if f.AllowedHeaders != nil && !slices.Equal(asks, asksWith) {
		t.Errorf("it asks with %q", asks)
	}
	service := f.GetHttpService()
	if service == nil {
		if f.GetGrpcService().GetEnvoyGrpc() == nil {
			t.Error("it asks neither over HTTP nor over gRPC")
		}
		return
	}
	if f.AllowedHeaders == nil {
		t.Error("it asks without the cookie")
	}
	if service.PathPrefix != "/authz/envoy" && !strings.HasPrefix(service.PathPrefix, "/authz/envoy-with/") {
		t.Errorf("it asks for %q", service.PathPrefix)
	}
	if service.GetAuthorizationRequest() != nil || service.GetAuthorizationResponse().GetAllowedClientHeaders() != nil || service.GetAuthorizationResponse().GetAllowedUpstreamHeadersToAppend() != nil {
		t.Errorf("the stand-in does not play all of %v", service)
	}
	for name := range identityNames {
		if !anyOf(service.GetAuthorizationResponse().GetAllowedUpstreamHeaders(), name) {
			t.Errorf("the application does not get %s", name)
		}
	}
}
