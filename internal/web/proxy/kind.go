package proxy

import (
	"net/http"
	"strings"
)

// Kind is what a request is, as far as an answer to someone who is not signed in is concerned.
type Kind int

// The kinds.
const (
	// Page is a navigation in a browser: it can be sent to sign in.
	Page Kind = iota
	// PageWithBody is a navigation that carries a form: it can be sent to sign in, but not be repeated after.
	PageWithBody
	// API is a call by a script or a program: it wants a status.
	API
	// WebSocket is a handshake (RFC 6455 4.1): browsers follow no redirect there.
	WebSocket
	// Preflight is a CORS preflight (https://fetch.spec.whatwg.org/#cors-preflight-fetch): it never carries a cookie.
	Preflight
)

// KindOf tells kinds apart by method, Upgrade, Sec-Fetch-Mode, X-Requested-With and Accept. It does not allocate.
func KindOf(method string, h http.Header) Kind {
	if method == http.MethodOptions && get(h, "Origin") != "" && get(h, "Access-Control-Request-Method") != "" {
		return Preflight
	}
	if strings.EqualFold(get(h, "Upgrade"), "websocket") {
		return WebSocket
	}
	navigates := strings.Contains(get(h, "Accept"), "text/html")
	if mode := get(h, "Sec-Fetch-Mode"); mode != "" {
		navigates = mode == "navigate"
	}
	if !navigates || get(h, "X-Requested-With") != "" {
		return API
	}
	switch method {
	case http.MethodGet, http.MethodHead:
		return Page
	case http.MethodPost:
		return PageWithBody
	}
	return API
}

// get is Header.Get for a name in canonical form.
func get(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
