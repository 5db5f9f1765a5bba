package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/tracing"
)

// Defaults of a Fetcher.
const (
	DefaultTimeout      = 10 * time.Second
	DefaultMaxRedirects = 3
	// maxHeaderBytes bounds a response's headers, maxValidator the ETag and Last-Modified that are kept.
	maxHeaderBytes = 64 << 10
	maxValidator   = 1 << 10
)

// FetcherOptions are what a Fetcher may do.
type FetcherOptions struct {
	// AllowPrivate lets metadata come from private networks: RFC 1918, RFC 6598, unique local IPv6. For the operator's flag.
	AllowPrivate bool
	// AllowLoopback lets metadata come from this machine: for tests and demonstrations only.
	AllowLoopback bool
	// Timeout is for everything together: name, connection, redirects and body; 0 is 10 s.
	Timeout time.Duration
	// MaxBytes of the document, inflated; 0 is 50 MB.
	MaxBytes int64
	// MaxRedirects that are followed; 0 is 3, negative is none.
	MaxRedirects int
	// UserAgent; empty is "sallyport".
	UserAgent string
	// Clock is what validUntil is compared with; nil is the machine's.
	Clock clock.PassiveClock
	// Resolver looks up host names; nil is the system's.
	Resolver *net.Resolver
	// Proxy returns the proxy for a URL, nil for none; nil takes HTTPS_PROXY and NO_PROXY from the environment. Whoever sets a proxy lets
	// it decide which addresses may be connected to: behind it, only addresses written as such in the URL are checked here.
	Proxy func(*url.URL) (*url.URL, error)
}

// Fetcher fetches metadata over https. It is safe for concurrent use and keeps neither connections nor cookies.
type Fetcher struct {
	o         FetcherOptions
	addresses addressPolicy
	budget    *budget
}

// NewFetcher makes a Fetcher.
func NewFetcher(o FetcherOptions) *Fetcher {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxRedirects == 0 {
		o.MaxRedirects = DefaultMaxRedirects
	}
	if o.UserAgent == "" {
		o.UserAgent = "sallyport"
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Proxy == nil {
		o.Proxy = httpproxy.FromEnvironment().ProxyFunc()
	}
	return &Fetcher{o: o, addresses: addressPolicy{allowPrivate: o.AllowPrivate, allowLoopback: o.AllowLoopback}, budget: newBudget()}
}

// Request is what to fetch.
type Request struct {
	URL string
	// CABundle is PEM and replaces the system's roots; empty keeps them.
	CABundle []byte
	// ETag and LastModified are what the last Result said; empty fetches unconditionally.
	ETag, LastModified string
	Parse              ParseOptions
}

// Result is what came.
type Result struct {
	// NotModified: what was fetched before still holds; Metadata is nil.
	NotModified bool
	Metadata    *Metadata
	// ETag and LastModified are for the next Request.
	ETag, LastModified string
}

// Fetch gets the metadata and reads it as it comes. Errors are *Error; the caller's own cancellation is reported as KindTimeout.
func (f *Fetcher) Fetch(ctx context.Context, r Request) (*Result, error) {
	roots, err := caPool(r.CABundle)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	requesting, span := tracing.Start(ctx, "metadata.request")
	response, err := f.follow(requesting, r, roots)
	if err != nil {
		span.Failed()
	}
	span.End()
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	result := &Result{ETag: validator(response, "ETag"), LastModified: validator(response, "Last-Modified")}
	if response.StatusCode == http.StatusNotModified {
		result.NotModified = true
		if result.ETag == "" && result.LastModified == "" {
			result.ETag, result.LastModified = r.ETag, r.LastModified
		}
		return result, nil
	}
	if r.Parse.Now.IsZero() {
		r.Parse.Now = f.o.Clock.Now()
	}
	r.Parse.MaxBytes, r.Parse.share = f.o.MaxBytes, f.budget.share(ctx)
	body := &watchedReader{r: response.Body}
	_, span = tracing.Start(ctx, "metadata.read")
	result.Metadata, err = ParseMetadata(body, r.Parse)
	if err != nil {
		span.Failed()
	}
	span.End()
	switch {
	case body.err != nil:
		// What was read so far is not what the server meant to say.
		return nil, f.transportError(ctx, body.err, response.Request.URL)
	case err != nil && ctx.Err() != nil:
		return nil, f.transportError(ctx, ctx.Err(), response.Request.URL)
	case err != nil:
		return nil, err
	}
	return result, nil
}

// watchedReader remembers why a body ended before its end.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

func caPool(bundle []byte) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fail(KindTLS, "spec.saml.metadata.caBundle has no certificate in it: write the certificates of the authorities as PEM.")
	}
	return pool, nil
}

// follow sends the request and follows redirects, each one checked as the first URL was.
func (f *Fetcher) follow(ctx context.Context, r Request, roots *x509.CertPool) (*http.Response, error) {
	target, err := f.checkURL(r.URL)
	if err != nil {
		return nil, err
	}
	for hops := 0; ; hops++ {
		response, err := f.get(ctx, target, r, roots)
		if err != nil {
			return nil, f.transportError(ctx, err, target)
		}
		switch response.StatusCode {
		case http.StatusOK:
			return response, nil
		case http.StatusNotModified:
			if r.ETag != "" || r.LastModified != "" {
				return response, nil
			}
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			response.Body.Close()
			if hops >= f.o.MaxRedirects {
				return nil, fail(KindRedirect, "The metadata server redirects more than %d times: write the address that it leads to.", max(f.o.MaxRedirects, 0))
			}
			if target, err = f.redirect(target, response); err != nil {
				return nil, err
			}
			continue
		}
		response.Body.Close()
		return nil, f.statusError(response)
	}
}

// checkURL refuses everything that is not plain https.
func (f *Fetcher) checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || len(raw) > maxURL:
		return nil, fail(KindInvalidURL, "The metadata URL is not an absolute URL of at most %d characters.", maxURL)
	case u.Scheme == "http":
		return nil, fail(KindInvalidURL, "The metadata URL is http: what comes over http could be replaced on the way, and with it whom to trust. Use https.")
	case u.Scheme != "https":
		return nil, fail(KindInvalidURL, "The metadata URL must be https, not %s.", clip(u.Scheme))
	case u.User != nil:
		return nil, fail(KindInvalidURL, "The metadata URL must not have a user name or password in it.")
	}
	u.Fragment = ""
	if address, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := f.addresses.check(address); err != nil {
			return nil, refusedAddress(err)
		}
	}
	return u, nil
}

func (f *Fetcher) redirect(from *url.URL, response *http.Response) (*url.URL, error) {
	to, err := from.Parse(response.Header.Get("Location"))
	if err != nil || response.Header.Get("Location") == "" {
		return nil, fail(KindRedirect, "The metadata server redirects to something that is not a URL.")
	}
	checked, err := f.checkURL(to.String())
	if err == nil {
		return checked, nil
	}
	if typed, ok := errors.AsType[*Error](err); ok && typed.Kind == KindInvalidURL {
		return nil, fail(KindRedirect, "The metadata server redirects to an address that is not followed. %s", typed.Sentence)
	}
	return nil, err
}

// get sends one request over a connection of its own.
func (f *Fetcher) get(ctx context.Context, target *url.URL, r Request, roots *x509.CertPool) (*http.Response, error) {
	proxy, err := f.o.Proxy(target)
	if err != nil {
		return nil, fail(KindConnection, "The proxy in the operator's environment is not a URL.")
	}
	dialer := &net.Dialer{KeepAlive: -1, Resolver: f.o.Resolver}
	transport := &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	if proxy == nil {
		dialer.Control = f.addresses.control
	} else {
		transport.Proxy = http.ProxyURL(proxy)
	}
	transport.DialContext = dialer.DialContext
	// The handshake runs in a goroutine of its own, which may outlive the request.
	handshake := make(chan error, 2)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
		if err != nil && len(handshake) == 0 {
			handshake <- err
		}
	}})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fail(KindInvalidURL, "The metadata URL is not one that can be requested.")
	}
	request.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1")
	request.Header.Set("User-Agent", f.o.UserAgent)
	if r.ETag != "" {
		request.Header.Set("If-None-Match", r.ETag)
	}
	if r.LastModified != "" {
		request.Header.Set("If-Modified-Since", r.LastModified)
	}
	response, err := transport.RoundTrip(request)
	if err != nil && len(handshake) > 0 {
		err = &handshakeError{err: err}
	}
	return response, err
}

// validator returns a header to send back with the next request, if it is one of a sensible size.
func validator(response *http.Response, name string) string {
	value := response.Header.Get(name)
	if len(value) > maxValidator || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return value
}

func (f *Fetcher) statusError(response *http.Response) error {
	hint := "Open the URL in a browser that is not signed in: it must show XML."
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = "Metadata must be readable without signing in: make it public at the identity provider, or paste it into spec.saml.metadata.inline."
	case http.StatusNotFound, http.StatusGone:
		hint = "Copy the metadata URL again from the identity provider's console: the application may have been deleted there."
	case http.StatusTooManyRequests:
		hint = "The server asks for fewer requests; the next one waits longer."
	case http.StatusNotModified:
		hint = "It was not asked whether anything had changed, so this answer is wrong."
	}
	if response.StatusCode >= 500 {
		hint = "The fault is on the identity provider's side; it will be retried."
	}
	e := fail(KindHTTPStatus, "The metadata server answered with status %d. %s", response.StatusCode, hint)
	e.RetryAfter = retryAfter(response.Header.Get("Retry-After"), f.o.Clock.Now())
	return e
}

func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), 7*24*3600)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), 7*24*time.Hour)
	}
	return 0
}
