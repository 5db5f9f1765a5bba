// Package pages renders everything that people see. The templates are server-side HTML with one stylesheet; nothing but passkeys needs a script.
// Every answer carries a strict Content-Security-Policy, and is written only when it was rendered whole.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/style.css
var stylesheet []byte

//go:embed assets/favicon.svg
var favicon []byte

//go:embed assets/passkey.js
var passkeyScript []byte

var (
	templates      = parse()
	stylesheetPath = assetPath("style", stylesheet, ".css")
	faviconPath    = assetPath("icon", favicon, ".svg")
	passkeyPath    = assetPath("passkey", passkeyScript, ".js")
)

// parse reads the templates. "view" renders a template whose name is only known when the page is: html/template has no such action of its own.
func parse() *template.Template {
	var root *template.Template
	render := func(name string, data any) (template.HTML, error) {
		var inner bytes.Buffer
		err := root.ExecuteTemplate(&inner, name, data)
		// Safe: it is the output of this package's own templates, escaped by html/template.
		return template.HTML(inner.String()), err // #nosec G203 -- see above
	}
	root = template.New("").Funcs(template.FuncMap{
		"view":  func(name string, page Page) (template.HTML, error) { return render(name, page) },
		"inner": func(name string, page AdminPage) (template.HTML, error) { return render(name, page) },
		"count": count,
	})
	return template.Must(root.ParseFS(templateFiles, "templates/*.html"))
}

// assetPath has the content in its name, so that browsers may keep it for ever.
func assetPath(name string, content []byte, extension string) string {
	sum := sha256.Sum256(content)
	return "/assets/" + name + "." + hex.EncodeToString(sum[:6]) + extension
}

// postScript submits the one form of the page "post"; the button does the same without it.
const postScript = `document.getElementById("saml").submit()`

// Content security policies. A form that leads to an identity provider is answered by a redirect to it, and browsers hold form-action against
// redirects too; identity providers are https and go on to hosts that nobody here knows.
var (
	policyHere = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	policyAway = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'"
	// A page with a picture that was drawn for it alone, and one with the script for passkeys, whose forms lead back to an application.
	policyImage  = strings.Replace(policyHere, "img-src 'self'", "img-src 'self' data:", 1)
	policyScript = policyAway + "; script-src 'self'; connect-src 'self'"
	policyPost   = policyAway + "; script-src '" + scriptHash(postScript) + "'"
)

func scriptHash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Page is one of the types of this package.
type Page interface {
	// view is the template's name, the document's title, and the policy that goes with it.
	view() (name, title, policy string)
}

// frame is what stands around every page.
type frame struct {
	Host, Title, Stylesheet, Icon string
	// View names the template of Page.
	View string
	Page Page
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Origin is where the pages are served from. Host is what people know the service provider by: the host of its URL. Base is that URL where the page is
// shown on another host (an application's, by its proxy), and empty on the service provider's own.
type Origin struct{ Host, Base string }

// Write answers with a page.
func Write(w http.ResponseWriter, status int, o Origin, p Page) error {
	name, title, policy := p.view()
	if o.Base != "" {
		policy = strings.ReplaceAll(policy, "'self'", o.Base)
	}
	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)
	buffer.Reset()
	if err := templates.ExecuteTemplate(buffer, "page", frame{Host: o.Host, Title: title, Stylesheet: o.Base + stylesheetPath, Icon: o.Base + faviconPath, View: name, Page: p}); err != nil {
		http.Error(w, "The page could not be rendered.", http.StatusInternalServerError)
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	Harden(h)
	if o.Base != "" {
		// Whether the application's host is https alone is not ours to say.
		h.Del("Strict-Transport-Security")
	}
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := w.Write(buffer.Bytes())
	return err
}

// Harden sets the headers that hold for every answer to a browser.
func Harden(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	h.Set("Strict-Transport-Security", "max-age=31536000")
}

// Assets serves the stylesheet and the icon under their content's names.
func Assets() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+stylesheetPath, asset("text/css; charset=utf-8", stylesheet))
	mux.Handle("GET "+faviconPath, asset("image/svg+xml", favicon))
	mux.Handle("GET "+passkeyPath, asset("text/javascript; charset=utf-8", passkeyScript))
	return mux
}

func asset(contentType string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Harden(w.Header())
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		// The page that denies access is shown on the application's host.
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Write(content) //nolint:errcheck // the client went away
	})
}

// Time is a moment as people and as machines read it.
type Time struct{ Text, Machine string }

// At renders a moment in UTC; the zero time is empty.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Format("2 Jan 2006, 15:04 UTC"), t.UTC().Format(time.RFC3339)}
}

// On is At without the time of day.
func On(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Format("2 Jan 2006"), t.UTC().Format(time.RFC3339)}
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// Link is somewhere to go.
type Link struct{ URL, Label string }

// initial is the letter that stands for a name.
func initial(name string) string {
	r, _ := utf8.DecodeRuneInString(name)
	if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
		return "·"
	}
	return string(unicode.ToUpper(r))
}

// Words splits an API name in camel case: jobTitle becomes Job title.
func Words(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case i == 0:
			b.WriteRune(unicode.ToUpper(r))
		case unicode.IsUpper(r):
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(r))
		case r == '_':
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
