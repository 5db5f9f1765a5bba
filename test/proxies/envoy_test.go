package proxies

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3" // named in the page
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3" // named in the page
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/test/internal/page"
)

// envoy does what Envoy's documentation says of the filters that docs/proxies/envoy.md configures: it removes headers early, asks, and applies the answer.
// It stands in for Envoy, whose program comes from no registry that the tests use; the configuration is read by Envoy's own definitions.
type envoy struct {
	t         *testing.T
	mutations []*mutationv3.HeaderMutation
	filter    *authzv3.ExtAuthz
	client    authv3.AuthorizationClient
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

func envoyFiles(t *testing.T) (*managerv3.HttpConnectionManager, map[string]string) {
	t.Helper()
	files := page.Files(t, "../../docs/proxies/envoy.md")
	var bootstrap bootstrapv3.Bootstrap
	readProto(t, files["/etc/envoy/envoy.yaml"], &bootstrap)
	var manager managerv3.HttpConnectionManager
	unpack(t, bootstrap.StaticResources.Listeners[0].FilterChains[0].Filters[0].GetTypedConfig(), &manager)
	return &manager, files
}

// startEnvoy plays Envoy over HTTP, or over gRPC with the other filter of the page.
func startEnvoy(t *testing.T, overGRPC bool) string {
	manager, files := envoyFiles(t)
	e := &envoy{t: t, filter: &authzv3.ExtAuthz{}}
	var early earlyv3.HeaderMutation
	unpack(t, manager.EarlyHeaderMutationExtensions[0].TypedConfig, &early)
	e.mutations = early.Mutations
	if overGRPC {
		var filter managerv3.HttpFilter
		readProto(t, files["/etc/envoy/ext-authz-grpc.yaml"], &filter)
		unpack(t, filter.GetTypedConfig(), e.filter)
		connection, err := grpc.NewClient(w(t).grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() }) //nolint:errcheck
		e.client = authv3.NewAuthorizationClient(connection)
	} else {
		unpack(t, manager.HttpFilters[0].GetTypedConfig(), e.filter)
	}
	server := httptest.NewUnstartedServer(e)
	pair, err := tls.X509KeyPair(w(t).pair.Certificate, w(t).pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (e *envoy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	for name := range r.Header {
		for _, m := range e.mutations {
			if matches(m.GetRemoveOnMatch().GetKeyMatcher(), strings.ToLower(name)) {
				delete(r.Header, name)
			}
		}
	}
	to := w(e.t).application.address
	if r.Host == ssoHost || strings.HasPrefix(r.URL.Path, "/.sallyport/") {
		to = w(e.t).spAddress()
	} else if allowed := e.ask(rw, r); !allowed {
		return
	}
	forward := &httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) {
		out.SetURL(&url.URL{Scheme: "http", Host: to})
		out.Out.Host = r.Host
		out.SetXForwarded()
	}}
	forward.ServeHTTP(rw, r)
}

func (e *envoy) ask(rw http.ResponseWriter, r *http.Request) bool {
	if e.client != nil {
		return e.askGRPC(rw, r)
	}
	service := e.filter.GetHttpService()
	ask, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+w(e.t).spAddress(), nil)
	if err != nil {
		e.t.Error(err)
		return false
	}
	ask.URL.Opaque = service.PathPrefix + r.RequestURI
	ask.Host = r.Host
	for name, values := range r.Header {
		if anyOf(e.filter.AllowedHeaders, name) {
			ask.Header[name] = values
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(ask)
	if err != nil {
		rw.WriteHeader(http.StatusForbidden)
		return false
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		for name, values := range answer.Header {
			rw.Header()[name] = values
		}
		rw.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(rw, answer.Body)
		return false
	}
	for name, values := range answer.Header {
		if anyOf(service.AuthorizationResponse.AllowedUpstreamHeaders, name) {
			r.Header[name] = values
		}
	}
	return true
}

func (e *envoy) askGRPC(rw http.ResponseWriter, r *http.Request) bool {
	headers := map[string]string{":authority": r.Host, ":path": r.RequestURI, ":method": r.Method}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	answer, err := e.client.Check(context.WithoutCancel(r.Context()), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "192.0.2.1"}}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: r.Method, Path: r.RequestURI, Host: r.Host, Scheme: "https", Protocol: r.Proto, Headers: headers,
		}},
	}})
	if err != nil {
		rw.WriteHeader(http.StatusForbidden)
		return false
	}
	if codes.Code(answer.Status.Code) != codes.OK {
		denied := answer.GetDeniedResponse()
		for _, h := range denied.GetHeaders() {
			rw.Header().Set(h.Header.Key, h.Header.Value)
		}
		rw.WriteHeader(int(denied.GetStatus().GetCode()))
		_, _ = io.WriteString(rw, denied.GetBody())
		return false
	}
	for _, name := range answer.GetOkResponse().GetHeadersToRemove() {
		r.Header.Del(name)
	}
	for _, h := range answer.GetOkResponse().GetHeaders() {
		if h.AppendAction != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			e.t.Errorf("%s would stand beside the client's own", h.Header.Key)
		}
		r.Header.Set(h.Header.Key, h.Header.Value)
	}
	return true
}

func anyOf(list *matcherv3.ListStringMatcher, name string) bool {
	for _, m := range list.GetPatterns() {
		if matches(m, strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// matches is the part of Envoy's string matcher that the page uses. Its regular expressions match whole names.
func matches(m *matcherv3.StringMatcher, name string) bool {
	switch {
	case m.GetExact() != "":
		return m.GetExact() == name
	case m.GetPrefix() != "":
		return strings.HasPrefix(name, m.GetPrefix())
	case m.GetSafeRegex() != nil:
		return regexp.MustCompile("^(?:" + m.GetSafeRegex().GetRegex() + ")$").MatchString(name)
	}
	return false
}
