package web_test

import (
	"net"
	"net/url"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

// extAuthz is where the gRPC service listens.
func (w *world) extAuthz() string {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	server := w.process.web.NewExtAuthz()
	go server.Serve(listener) //nolint:errcheck // stopped below
	w.t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// envoy is a gRPC client that sends what Envoy sends.
func (w *world) envoy() authv3.AuthorizationClient { return w.envoyAt(w.extAuthz()) }

func (w *world) envoyAt(address string) authv3.AuthorizationClient {
	w.t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { connection.Close() }) //nolint:errcheck
	return authv3.NewAuthorizationClient(connection)
}

// cookies are those that the browser sends there, in one header.
func (b *browser) cookies(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, c := range b.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

func checkRequest(method, path string, headers, extensions map[string]string) *authv3.CheckRequest {
	headers[":authority"] = "grafana.example.com"
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: method, Path: path, Host: "grafana.example.com", Scheme: "https", Headers: headers,
		}},
		ContextExtensions: extensions,
	}}
}

func TestExtAuthzOverGRPC(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice@acme.example")
	cookie, client := b.cookies("https://grafana.example.com/"), w.envoy()
	check := func(r *authv3.CheckRequest) *authv3.CheckResponse {
		t.Helper()
		answer, err := client.Check(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}

	ok := check(checkRequest("GET", "/d/1", map[string]string{"cookie": cookie, "remote-user": "ceo@victim.example"}, map[string]string{"groups": "dev"})).GetOkResponse()
	if ok == nil {
		t.Fatal("not let in")
	}
	got := map[string]string{}
	for _, h := range ok.Headers {
		got[h.Header.Key] = h.Header.Value
		if h.AppendAction.String() != "OVERWRITE_IF_EXISTS_OR_ADD" {
			t.Errorf("%s would be added to the client's own", h.Header.Key)
		}
	}
	if got["remote-user"] != "alice@acme.example" || got["x-auth-request-groups"] != "dev,ml%2Cteam" {
		t.Errorf("%v", got)
	}

	for name, c := range map[string]struct {
		request  *authv3.CheckRequest
		status   int32
		code     codes.Code
		location string
	}{
		"page":      {checkRequest("GET", "/d/1?var=a&b=c", map[string]string{"accept": acceptHTML}, nil), 302, codes.Unauthenticated, spURL + "/signin?rd=" + url.QueryEscape(appURL)},
		"API":       {checkRequest("GET", "/api", map[string]string{"accept": "application/json"}, nil), 401, codes.Unauthenticated, ""},
		"forbidden": {checkRequest("GET", "/", map[string]string{"cookie": cookie}, map[string]string{"groups": "ops"}), 403, codes.PermissionDenied, ""},
		"misspelt":  {checkRequest("GET", "/", map[string]string{"cookie": cookie}, map[string]string{"group": "dev"}), 500, codes.PermissionDenied, ""},
		"nothing":   {&authv3.CheckRequest{}, 503, codes.Unavailable, ""},
	} {
		answer := check(c.request)
		denied := answer.GetDeniedResponse()
		if denied == nil || int32(denied.Status.Code) != c.status || codes.Code(answer.Status.Code) != c.code {
			t.Errorf("%s: %v", name, answer)
			continue
		}
		location := ""
		for _, h := range denied.Headers {
			if h.Header.Key == "location" {
				location = h.Header.Value
			}
		}
		if location != c.location {
			t.Errorf("%s: location %q", name, location)
		}
	}
	page := check(checkRequest("GET", "/", map[string]string{"cookie": cookie, "accept": acceptHTML}, map[string]string{"groups": "ops"})).GetDeniedResponse()
	if !referencePattern.MatchString(page.Body) || !strings.Contains(page.Body, "alice@acme.example") {
		t.Error(page.Body)
	}
	// A preflight that may pass carries nobody's identity: the client's own headers go.
	preflight := checkRequest("OPTIONS", "/", map[string]string{"origin": "https://x.example.com", "access-control-request-method": "PUT"}, map[string]string{"preflight": "allow"})
	if removed := check(preflight).GetOkResponse().GetHeadersToRemove(); len(removed) != 8 {
		t.Errorf("%v", removed)
	}
}
