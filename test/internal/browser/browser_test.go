package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTypesPressesAndReads(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if name := r.FormValue("name"); name != "" {
			http.SetCookie(w, &http.Cookie{Name: "who", Value: name})
			fmt.Fprintf(w, "<p>hello %s at %s", name, r.Host)
			return
		}
		fmt.Fprint(w, `<form method=post><input name=name id=name><button>Go</button></form>`)
	}))
	defer server.Close()

	tab := New(t, map[string]string{"*.acme.example": strings.TrimPrefix(server.URL, "https://")})
	tab.Open("https://wiki.acme.example/page")
	tab.Type("#name", "alice")
	tab.Press("button")
	tab.WaitText("hello alice at wiki.acme.example")
	if got := tab.URL(); got != "https://wiki.acme.example/page" {
		t.Errorf("address %s", got)
	}
	if cookie := tab.Cookies("https://wiki.acme.example/")["who"]; cookie == nil || cookie.Value != "alice" {
		t.Errorf("cookie who is %+v, want alice", cookie)
	}
	path := filepath.Join(t.TempDir(), "shots", "page.png")
	tab.Screenshot(path, 390)
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("screenshot: %v %v", info, err)
	}
	other := tab.NewTab()
	other.Open("https://wiki.acme.example/")
	other.WaitFor("#name")
	if cookie := other.Cookies("https://wiki.acme.example/page")["who"]; cookie == nil {
		t.Error("a second tab does not share the cookies of the first")
	}
	none := tab.Visit(func(window *Tab) {
		window.Open("https://wiki.acme.example/")
		window.WaitFor("#name")
		if len(window.Cookies("https://wiki.acme.example/page")) > 0 {
			t.Error("a visitor has the cookies of the first")
		}
	})
	lost := tab.Visit(func(window *Tab) { window.Open("https://elsewhere.example/") })
	if none != nil || lost == nil || !strings.Contains(lost.Error(), "open https://elsewhere.example/") {
		t.Errorf("a visit came to %v, one to a host that does not exist to %v", none, lost)
	}
}
