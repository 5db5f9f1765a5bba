// Package echo is the application of the demonstration and of the tests: it shows who it was told is there, and nothing else protects it but the proxy.
package echo

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var files embed.FS

var page = template.Must(template.ParseFS(files, "page.html"))

type header struct{ Name, Value string }

// Handler serves the application. ssoURL is the service provider's external URL, for the links to account and sign-out.
func Handler(ssoURL string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "uri": r.RequestURI, "host": r.Host, "headers": r.Header})
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'")
		var identity, others []header
		for name, values := range r.Header {
			entry := header{name, strings.Join(values, " | ")}
			switch {
			case strings.HasPrefix(name, "Remote-"), strings.HasPrefix(name, "X-Auth-Request-"), strings.Contains(name, "_"):
				identity = append(identity, entry)
			case name != "Cookie":
				others = append(others, entry)
			}
		}
		for _, list := range [][]header{identity, others} {
			slices.SortFunc(list, func(a, b header) int { return strings.Compare(a.Name, b.Name) })
		}
		_ = page.Execute(w, map[string]any{
			"URI": r.RequestURI, "User": r.Header.Get("Remote-User"), "Name": r.Header.Get("Remote-Name"),
			"Groups": split(r.Header.Get("Remote-Groups")), "Identity": identity, "Others": others, "SSO": ssoURL,
		})
	})
	return mux
}

func split(groups string) []string {
	if groups == "" {
		return nil
	}
	return strings.Split(groups, ",")
}
