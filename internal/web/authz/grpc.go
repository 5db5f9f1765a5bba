package authz

import (
	"context"
	"maps"
	"net/http"
	"net/textproto"
	"runtime/debug"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/web/proxy"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// extAuthz answers envoy.service.auth.v3. What the person must be stands in the route's context_extensions, which clients cannot write:
// groups, idp and preflight, as in the query of the HTTP endpoints.
type extAuthz struct {
	authv3.UnimplementedAuthorizationServer
	gate  *Gate
	count *counters
}

// ExtAuthz is the gRPC service. Whoever can reach its port is believed: it is for Envoy alone.
func (g *Gate) ExtAuthz() authv3.AuthorizationServer {
	return &extAuthz{gate: g, count: g.counters("grpc")}
}

// Check decides about one request. It does not panic: outside net/http nothing else would catch it.
func (e *extAuthz) Check(_ context.Context, in *authv3.CheckRequest) (out *authv3.CheckResponse, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			e.gate.env.Log.Error("a gRPC check panicked", "stack", string(debug.Stack()))
			out, err = denied(typev3.StatusCode_InternalServerError, nil, ""), nil
		}
	}()
	request := in.GetAttributes().GetRequest().GetHttp()
	s := e.gate.env.Sites.Current()
	if s == nil || request == nil {
		e.count[unavailable].Inc()
		return denied(typev3.StatusCode_ServiceUnavailable, nil, ""), nil
	}
	headers := headersOf(request)
	q := question{cookies: headers["Cookie"], known: true, kind: proxy.KindOf(request.GetMethod(), headers)}
	q.original = proxy.Original{Method: request.GetMethod(), Scheme: "https", Host: proxy.Host(request.GetHost()), URI: request.GetPath()}
	if request.GetScheme() == "http" && headers.Get("X-Forwarded-Proto") != "https" {
		q.original.Scheme = "http"
	}
	v, current := misconfigured, (*session.Session)(nil)
	if q.require, err = extensions(in.GetAttributes().GetContextExtensions()); err == nil {
		v, current = e.gate.decide(s, &q)
	}
	e.count[v].Inc()
	switch v {
	case allowed, anonymous:
		return e.granted(s, &q, current), nil
	case unauthenticated:
		if location := signInURL(s, &q); location != "" {
			return denied(typev3.StatusCode_Found, []string{"Location", location, "Cache-Control", "no-store"}, ""), nil
		}
		return denied(typev3.StatusCode_Unauthorized, nil, ""), nil
	case forbidden:
		reference := ""
		if current != nil {
			reference = e.gate.denials.record(current, q.original.Host, serve.Client{IP: in.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress(), UserAgent: headers.Get("User-Agent")})
		}
		return e.forbidden(s, &q, current, reference), nil
	case unavailable:
		return denied(typev3.StatusCode_ServiceUnavailable, []string{"Retry-After", "5"}, ""), nil
	}
	e.gate.env.Log.Error("a gRPC check was refused", "error", errRequirement)
	return denied(typev3.StatusCode_InternalServerError, nil, ""), nil
}

// headersOf takes the headers in either form that Envoy sends them in, under canonical names.
func headersOf(request *authv3.AttributeContext_HttpRequest) http.Header {
	h := make(http.Header, 16)
	for name, value := range request.GetHeaders() {
		h[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
	}
	for _, one := range request.GetHeaderMap().GetHeaders() {
		value := one.GetValue()
		if raw := one.GetRawValue(); value == "" && len(raw) > 0 {
			value = string(raw)
		}
		name := textproto.CanonicalMIMEHeaderKey(one.GetKey())
		h[name] = append(h[name], value)
	}
	return h
}

// extensions reads a requirement from the route's settings. What is not understood is an error, as in the query.
func extensions(settings map[string]string) (requirement, error) {
	var r requirement
	for name, value := range settings {
		if !r.add(name, value) {
			return requirement{}, errRequirement
		}
	}
	return r, nil
}

func (e *extAuthz) granted(s *site.Site, q *question, current *session.Session) *authv3.CheckResponse {
	h := make(http.Header, len(headerNames)+1)
	e.gate.identify(h, s, q, current)
	ok := &authv3.OkHttpResponse{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		// An empty value removes the client's own copy.
		if h[name][0] == "" {
			ok.HeadersToRemove = append(ok.HeadersToRemove, strings.ToLower(name))
			continue
		}
		ok.Headers = append(ok.Headers, header(name, h[name][0]))
	}
	return &authv3.CheckResponse{Status: &status.Status{Code: int32(codes.OK)}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}
}

func denied(code typev3.StatusCode, headers []string, body string) *authv3.CheckResponse {
	rpc := codes.PermissionDenied
	switch code {
	case typev3.StatusCode_Found, typev3.StatusCode_Unauthorized:
		rpc = codes.Unauthenticated
	case typev3.StatusCode_ServiceUnavailable:
		rpc = codes.Unavailable
	}
	answer := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: code}, Body: body}
	for i := 0; i < len(headers); i += 2 {
		answer.Headers = append(answer.Headers, header(headers[i], headers[i+1]))
	}
	return &authv3.CheckResponse{Status: &status.Status{Code: int32(rpc)}, HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: answer}}
}

func header(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: strings.ToLower(name), Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// forbidden is the page with the reference for somebody who looks at it, and the status alone for a call.
func (e *extAuthz) forbidden(s *site.Site, q *question, current *session.Session, reference string) *authv3.CheckResponse {
	if q.kind != proxy.Page && q.kind != proxy.PageWithBody {
		return denied(typev3.StatusCode_Forbidden, nil, "")
	}
	page := captured{header: http.Header{}}
	e.gate.env.PageElsewhere(&page, s, http.StatusForbidden, noAccess(s, current, reference))
	var headers []string
	for _, name := range slices.Sorted(maps.Keys(page.header)) {
		headers = append(headers, name, page.header.Get(name))
	}
	return denied(typev3.StatusCode_Forbidden, headers, page.body.String())
}

// captured is an answer that goes into a message instead of onto a connection.
type captured struct {
	header http.Header
	body   strings.Builder
}

func (c *captured) Header() http.Header         { return c.header }
func (c *captured) Write(b []byte) (int, error) { return c.body.Write(b) }
func (c *captured) WriteHeader(int)             {}
