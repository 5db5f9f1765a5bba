package echo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestShowsWhoTheProxySaysIsThere(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/dashboard?a=1&b=2", nil)
	request.Header.Set("Accept", "text/html")
	request.Header.Set("Remote-User", "alice@acme.example")
	request.Header.Set("Remote-Groups", "dev,<script>")
	request.Header.Set("Cookie", "session=secret")
	recorder := httptest.NewRecorder()
	Handler("https://sso.example.com").ServeHTTP(recorder, request)
	body := recorder.Body.String()
	for _, want := range []string{"alice@acme.example", "/dashboard?a=1&amp;b=2", "https://sso.example.com/signout", "&lt;script&gt;"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"secret", "<script>"} {
		if strings.Contains(body, not) {
			t.Errorf("the page contains %q", not)
		}
	}
}

func TestAnswersProgramsWithEveryHeader(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/api", nil)
	request.Header.Set("Remote-User", "alice@acme.example")
	recorder := httptest.NewRecorder()
	Handler("").ServeHTTP(recorder, request)
	if body := recorder.Body.String(); !strings.Contains(body, `"Remote-User":["alice@acme.example"]`) {
		t.Error(body)
	}
}
