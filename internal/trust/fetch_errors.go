package trust

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"syscall"
)

// transportError says in a sentence why there is no answer. It names our host and what failed, never what a server sent.
func (f *Fetcher) transportError(ctx context.Context, err error, target *url.URL) error {
	if typed, ok := errors.AsType[*Error](err); ok {
		return typed
	}
	host := clip(target.Hostname())
	if refused, ok := errors.AsType[*addressError](err); ok {
		return refusedAddress(refused)
	}
	if problem := tlsProblem(err, host); problem != nil {
		return problem
	}
	timeout := ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)
	// A name that has addresses of the wrong kind only is an AddrError.
	_, unsuitable := errors.AsType[*net.AddrError](err)
	if dns, ok := errors.AsType[*net.DNSError](err); ok || unsuitable {
		if unsuitable || dns.IsNotFound {
			return fail(KindDNS, "The host name %s has no address: check the spelling of the metadata URL, and whether the cluster's DNS knows the name.", host)
		}
		return fail(KindDNS, "The DNS servers of the cluster do not answer for %s.", host)
	}
	if network, ok := errors.AsType[net.Error](err); timeout || ok && network.Timeout() {
		return fail(KindTimeout, "The metadata server %s did not answer completely within %s.", host, f.o.Timeout)
	}
	if _, ok := errors.AsType[*handshakeError](err); ok {
		return fail(KindTLS, "The TLS connection to %s could not be established.", host)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fail(KindConnection, "Nothing listens at %s: the connection was refused.", clip(target.Host))
	}
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return fail(KindNotXML, "What came says that it is compressed with gzip, and is not.")
	}
	return fail(KindConnection, "The connection to the metadata server %s failed or broke off. A proxy or a network policy may be in the way.", host)
}

func refusedAddress(err error) error {
	refused, ok := errors.AsType[*addressError](err)
	if ok && refused.private {
		return fail(KindAddressRefused, "The metadata URL leads to %s, which is in a private network. Start the operator with --allow-private-metadata to let it, or use spec.saml.metadata.inline.", refused.address)
	}
	if ok && refused.address.IsValid() {
		return fail(KindAddressRefused, "The metadata URL leads to %s, which is %s: metadata is never fetched from there.", refused.address, refused.what)
	}
	return fail(KindAddressRefused, "The metadata URL leads to an address from which metadata is never fetched.")
}

// tlsProblem returns nil when the error is not about TLS.
func tlsProblem(err error, host string) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fail(KindTLS, "The certificate of %s is from an authority that is not known: put that authority's certificate into spec.saml.metadata.caBundle.", host)
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fail(KindTLS, "The certificate of the metadata server is not for the name %s.", host)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return fail(KindTLS, "The certificate of the metadata server %s has expired or is not valid yet.", host)
		}
		return fail(KindTLS, "The certificate of the metadata server %s is not valid for a server.", host)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fail(KindTLS, "The metadata server %s does not speak TLS on that port.", host)
	}
	// crypto/tls reports what the other side refused as an operation of that name.
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "remote error" {
		return fail(KindTLS, "The metadata server %s refused the TLS connection: it may speak nothing newer than TLS 1.1, or ask for a client certificate.", host)
	}
	return nil
}

// handshakeError is what a TLS handshake failed with.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }
