// Package web is the service provider's public port: sign-in and sign-out for browsers, and the checks of the proxies.
package web

import (
	"log/slog"
	"net/http"
	"runtime/debug"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/web/authz"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/signin"
	"sallyport.dev/sallyport/internal/web/site"
)

// Public is everything on the public port.
func Public(env *serve.Env, people *provision.Service) http.Handler {
	mux := http.NewServeMux()
	// handle gives a handler the site of this moment: it keeps the one it started with, whatever is swapped in meanwhile.
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request, *site.Site)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s := env.Sites.Current()
			if s == nil {
				w.Header().Set("Retry-After", "1")
				http.Error(w, "The service provider is starting: it waits for its first snapshot.", http.StatusServiceUnavailable)
				return
			}
			f(w, r, s)
		})
	}
	signin.New(signin.Options{Env: env, People: people}).Routes(handle)
	gate := authz.NewGate(env)
	mux.Handle("GET /authz/nginx", gate.Nginx())
	mux.Handle("/authz/forward", gate.Forward())
	mux.Handle("/authz/envoy/", gate.Envoy("/authz/envoy", false))
	mux.Handle("GET /assets/", pages.Assets())
	handle("/", func(w http.ResponseWriter, r *http.Request, s *site.Site) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/signin", http.StatusSeeOther)
			return
		}
		env.Page(w, s, http.StatusNotFound, pages.Message{Heading: "There is nothing here", Sentence: "The page that you asked for does not exist."})
	})
	return recovered(env.Log, mux)
}

// recovered turns a panic into a plain 500 and a log line without anything of the request.
func recovered(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				reference := serve.NewReference()
				log.Error("a handler panicked", "reference", reference, "stack", string(debug.Stack()))
				http.Error(w, "Something went wrong. Give your administrator this reference: "+reference, http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
