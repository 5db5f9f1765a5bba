package proxies

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

// envoy does what Envoy's documentation says of a configuration: it refuses odd requests, removes headers, finds the route, asks, and applies the answer.
// It stands in for Envoy, whose program comes from no registry that the tests use; the configuration is read by Envoy's own definitions.
type envoy struct {
	t      *testing.T
	config *envoyConfig
	// connections to gRPC services by address.
	connections sync.Map
}

// startEnvoy plays Envoy with a configuration.
func startEnvoy(t *testing.T, config *envoyConfig) string {
	t.Helper()
	server := httptest.NewUnstartedServer(&envoy{t: t, config: config})
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
	if !e.tidied(r) {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	route := e.config.routeOf(r)
	if route.GetRoute() == nil {
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	if filter, extensions := e.config.filterOn(e.t, route); filter != nil && !e.ask(rw, r, filter, extensions) {
		return
	}
	forward := &httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) {
		out.SetURL(&url.URL{Scheme: "http", Host: e.config.addressOf(e.t, route.GetRoute().GetCluster())})
		out.Out.Host = r.Host
		out.SetXForwarded()
	}}
	forward.ServeHTTP(rw, r)
}

var (
	escapedSlash = regexp.MustCompile("(?i)%2f|%5c")
	escapedDot   = regexp.MustCompile("(?i)%2e")
)

// tidied gives a request one meaning, as the manager does before it looks for a route; false when it refuses the request.
func (e *envoy) tidied(r *http.Request) bool {
	manager := e.config.manager
	asked, query, hasQuery := strings.Cut(r.RequestURI, "?")
	if escapedSlash.MatchString(asked) {
		return false
	}
	clean := path.Clean(strings.ReplaceAll(escapedDot.ReplaceAllString(asked, "."), `\`, "/"))
	if strings.HasSuffix(asked, "/") && clean != "/" {
		clean += "/"
	}
	if hasQuery {
		clean += "?" + query
	}
	u, err := url.ParseRequestURI(clean)
	if err != nil {
		return false
	}
	r.URL, r.RequestURI = u, clean
	for name := range r.Header {
		if manager.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction() == corev3.HttpProtocolOptions_REJECT_REQUEST && strings.Contains(name, "_") {
			return false
		}
		for _, m := range e.config.early {
			if matches(m.GetRemoveOnMatch().GetKeyMatcher(), name) {
				delete(r.Header, name)
			}
		}
	}
	return true
}

func (e *envoy) ask(rw http.ResponseWriter, r *http.Request, filter *authzv3.ExtAuthz, extensions map[string]string) bool {
	if filter.GetGrpcService() != nil {
		return e.askGRPC(rw, r, filter, extensions)
	}
	service := filter.GetHttpService()
	ask, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+e.config.addressOf(e.t, service.GetServerUri().GetCluster()), nil)
	if err != nil {
		e.t.Error(err)
		return false
	}
	ask.URL.Opaque = service.PathPrefix + r.RequestURI
	ask.Host = r.Host
	for name, values := range r.Header {
		// These go along without being listed: the method, the path, the host, and one header.
		if name == "Authorization" || anyOf(filter.AllowedHeaders, name) {
			ask.Header[name] = values
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(ask)
	if err != nil {
		rw.WriteHeader(http.StatusForbidden)
		return false
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 500 {
		// No answer, as Envoy has it.
		rw.WriteHeader(http.StatusForbidden)
		return false
	}
	if answer.StatusCode != http.StatusOK {
		for name, values := range answer.Header {
			rw.Header()[name] = values
		}
		rw.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(rw, answer.Body)
		return false
	}
	for name, values := range answer.Header {
		if anyOf(service.GetAuthorizationResponse().GetAllowedUpstreamHeaders(), name) {
			r.Header[name] = values
		}
	}
	return true
}

func (e *envoy) askGRPC(rw http.ResponseWriter, r *http.Request, filter *authzv3.ExtAuthz, extensions map[string]string) bool {
	headers := map[string]string{}
	for name, values := range r.Header {
		// Without a list all of them go along.
		if filter.AllowedHeaders == nil || anyOf(filter.AllowedHeaders, name) {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	if filter.AllowedHeaders == nil {
		headers[":authority"], headers[":path"], headers[":method"] = r.Host, r.RequestURI, r.Method
	}
	answer, err := e.client(filter.GetGrpcService().GetEnvoyGrpc().GetClusterName()).Check(context.WithoutCancel(r.Context()), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "192.0.2.1"}}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: r.Method, Path: r.RequestURI, Host: r.Host, Scheme: "https", Protocol: r.Proto, Headers: headers,
		}},
		ContextExtensions: extensions,
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
	for _, h := range answer.GetOkResponse().GetHeaders() {
		if h.AppendAction != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			e.t.Errorf("%s would stand beside the client's own", h.Header.Key)
		}
		r.Header.Set(h.Header.Key, h.Header.Value)
	}
	for _, name := range answer.GetOkResponse().GetHeadersToRemove() {
		r.Header.Del(name)
	}
	return true
}

// client of a gRPC service's cluster. Its connection is made with the first question and kept.
func (e *envoy) client(cluster string) authv3.AuthorizationClient {
	address := e.config.addressOf(e.t, cluster)
	connect := sync.OnceValue(func() *grpc.ClientConn {
		connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			panic(err)
		}
		e.t.Cleanup(func() { connection.Close() }) //nolint:errcheck
		return connection
	})
	kept, _ := e.connections.LoadOrStore(address, connect)
	return authv3.NewAuthorizationClient(kept.(func() *grpc.ClientConn)())
}

// routeOf finds the route: the host's own name comes before patterns, and in a host the first route that matches.
func (c *envoyConfig) routeOf(r *http.Request) *routev3.Route {
	for _, pattern := range []bool{false, true} {
		for _, host := range c.routes.GetVirtualHosts() {
			for _, domain := range host.GetDomains() {
				if pattern && domain != "*" || !pattern && domain != strings.ToLower(r.Host) {
					continue
				}
				for _, route := range host.GetRoutes() {
					if under(r.URL.Path, route.GetMatch()) {
						return withHost(route, host)
					}
				}
				return nil
			}
		}
	}
	return nil
}

func under(at string, match *routev3.RouteMatch) bool {
	if whole := match.GetPathSeparatedPrefix(); whole != "" {
		return at == whole || strings.HasPrefix(at, whole+"/")
	}
	return match.GetPrefix() != "" && strings.HasPrefix(at, match.GetPrefix())
}

// withHost gives a route the filters' settings of its host, where it has none of its own.
func withHost(route *routev3.Route, host *routev3.VirtualHost) *routev3.Route {
	if len(route.TypedPerFilterConfig) > 0 {
		return route
	}
	return &routev3.Route{Match: route.Match, Action: route.Action, TypedPerFilterConfig: host.TypedPerFilterConfig}
}

func anyOf(list *matcherv3.ListStringMatcher, name string) bool {
	for _, m := range list.GetPatterns() {
		if matches(m, name) {
			return true
		}
	}
	return false
}

// matches is the part of Envoy's string matcher that the pages use. Envoy knows headers in small letters, and its regular expressions match whole names.
func matches(m *matcherv3.StringMatcher, name string) bool {
	name = strings.ToLower(name)
	fold := func(s string) string {
		if m.GetIgnoreCase() {
			return strings.ToLower(s)
		}
		return s
	}
	switch {
	case m.GetExact() != "":
		return fold(m.GetExact()) == name
	case m.GetPrefix() != "":
		return strings.HasPrefix(name, fold(m.GetPrefix()))
	case m.GetSafeRegex() != nil:
		return regexp.MustCompile("^(?:" + m.GetSafeRegex().GetRegex() + ")$").MatchString(name)
	}
	return false
}
