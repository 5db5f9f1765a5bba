package trust

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// FetcherOptions bound what a fetch may reach and cost. Zero values are the defaults.
type FetcherOptions struct {
	// AllowPrivate lets metadata come from private networks (RFC 1918, RFC 4193, RFC 6598).
	AllowPrivate bool
	// AllowLoopback lets it come from this machine: for tests and demonstrations.
	AllowLoopback bool
	// Timeout of one fetch with its redirects; 10 s.
	Timeout time.Duration
	// MaxRedirects; 3.
	MaxRedirects int
	UserAgent    string
}

// Fetcher gets metadata over https. It is safe for concurrent use.
type Fetcher struct{ options FetcherOptions }

// NewFetcher returns a Fetcher.
func NewFetcher(o FetcherOptions) *Fetcher {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxRedirects <= 0 {
		o.MaxRedirects = 3
	}
	if o.UserAgent == "" {
		o.UserAgent = "sallyport"
	}
	return &Fetcher{o}
}

// Request is one fetch. ETag and LastModified are of the copy that is there already.
type Request struct {
	URL string
	// CABundle is PEM; empty means the system's roots.
	CABundle           []byte
	ETag, LastModified string
	Parse              ParseOptions
}

// Result is what came. NotModified: the copy that was there is still good.
type Result struct {
	NotModified        bool
	Metadata           *Metadata
	ETag, LastModified string
}

// Fetch gets and reads metadata. Errors are *Error; they name the cause and never quote what the server sent.
func (f *Fetcher) Fetch(ctx context.Context, r Request) (*Result, error) {
	target, err := url.Parse(r.URL)
	if err != nil || target.Scheme != "https" || target.Hostname() == "" || target.User != nil {
		return nil, fail(KindInvalidURL, "The metadata URL must be an absolute https:// URL without a user name.")
	}
	client, err := f.client(r.CABundle)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fail(KindInvalidURL, "The metadata URL cannot be used.")
	}
	request.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.8")
	request.Header.Set("Accept-Encoding", "gzip")
	request.Header.Set("User-Agent", f.options.UserAgent)
	if r.ETag != "" {
		request.Header.Set("If-None-Match", r.ETag)
	}
	if r.LastModified != "" {
		request.Header.Set("If-Modified-Since", r.LastModified)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, classify(err, target.Hostname())
	}
	defer response.Body.Close()
	return f.read(response, r)
}

func (f *Fetcher) read(response *http.Response, r Request) (*Result, error) {
	switch {
	case response.StatusCode == http.StatusNotModified && (r.ETag != "" || r.LastModified != ""):
		return &Result{NotModified: true, ETag: r.ETag, LastModified: r.LastModified}, nil
	case response.StatusCode != http.StatusOK:
		e := fail(KindHTTPStatus, "The metadata server answered %d %s.", response.StatusCode, http.StatusText(response.StatusCode))
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.RetryAfter = min(time.Duration(seconds)*time.Second, 24*time.Hour)
		}
		return nil, e
	}
	body := io.Reader(response.Body)
	if strings.EqualFold(response.Header.Get("Content-Encoding"), "gzip") {
		// The limit of the reader below is on what comes out: a bomb stops there.
		inflated, err := gzip.NewReader(body)
		if err != nil {
			return nil, fail(KindNotXML, "The metadata server says gzip, and what came is not.")
		}
		body = inflated
	}
	metadata, err := ParseMetadata(body, r.Parse)
	if err != nil {
		if timeout := response.Request.Context().Err(); timeout != nil {
			return nil, classify(timeout, response.Request.URL.Hostname())
		}
		return nil, err
	}
	return &Result{Metadata: metadata, ETag: response.Header.Get("ETag"), LastModified: response.Header.Get("Last-Modified")}, nil
}

func (f *Fetcher) client(caBundle []byte) (*http.Client, error) {
	configuration := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(caBundle) > 0 {
		configuration.RootCAs = x509.NewCertPool()
		if !configuration.RootCAs.AppendCertsFromPEM(caBundle) {
			return nil, fail(KindTLS, "spec.saml.metadata.caBundle has no PEM certificate in it.")
		}
	}
	// The address is looked at when it is dialled, so that no second answer of the DNS can slip in between.
	dialer := &net.Dialer{Timeout: f.options.Timeout, Control: func(_, address string, _ syscall.RawConn) error { return f.checkAddress(address) }}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        configuration,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > f.options.MaxRedirects {
				return fail(KindRedirect, "The metadata server redirects more than %d times.", f.options.MaxRedirects)
			}
			if next.URL.Scheme != "https" || next.URL.User != nil {
				return fail(KindRedirect, "The metadata server redirects to a URL that is not https.")
			}
			return nil
		},
	}, nil
}

// checkAddress refuses addresses that a metadata server has no business at.
func (f *Fetcher) checkAddress(address string) error {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return fail(KindAddressRefused, "The metadata server's address cannot be read.")
	}
	ip := embedded(parsed.Addr())
	switch {
	case ip.IsLoopback() && f.options.AllowLoopback:
		return nil
	case ip.IsLoopback(), ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast(), ip.IsInterfaceLocalMulticast(), ip.IsMulticast(), ip.IsUnspecified(), reserved(ip):
		return fail(KindAddressRefused, "The metadata server's name leads to an address that must not be connected to (loopback, link-local, multicast or reserved).")
	case (ip.IsPrivate() || sharedSpace.Contains(ip)) && !f.options.AllowPrivate:
		return fail(KindAddressRefused, "The metadata server is on a private network: start the operator with --allow-private-metadata if that is meant.")
	}
	return nil
}

var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	nat64       = netip.MustParsePrefix("64:ff9b::/96")  // RFC 6052
	sixToFour   = netip.MustParsePrefix("2002::/16")     // RFC 3056
	unroutable  = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("240.0.0.0/4")}
)

func reserved(ip netip.Addr) bool {
	for _, prefix := range unroutable {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// embedded unwraps an IPv4 address that an IPv6 address carries.
func embedded(ip netip.Addr) netip.Addr {
	ip = ip.Unmap()
	bytes := ip.As16()
	switch {
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(bytes[12:16]))
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(bytes[2:6]))
	}
	return ip
}

// classify says in a sentence why no answer came.
func classify(err error, host string) error {
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fail(KindTimeout, "The metadata server %s did not answer in time.", clip(host))
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fail(KindTimeout, "The metadata server %s did not answer in time.", clip(host))
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return fail(KindDNS, "The host name %s does not exist.", clip(host))
		}
		return fail(KindDNS, "The host name %s could not be looked up.", clip(host))
	}
	if verification, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fail(KindTLS, "The certificate of %s is not acceptable: %v. If it is of your own CA, name it in spec.saml.metadata.caBundle.", clip(host), verification.Err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fail(KindTLS, "The server %s does not speak TLS on that port.", clip(host))
	}
	return fail(KindConnection, "No connection to the metadata server %s, or it broke.", clip(host))
}
