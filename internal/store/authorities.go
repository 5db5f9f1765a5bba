package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// bundleField is where administrators put authorities, in errors.
const bundleField = "spec.store.postgres.caBundle (without Kubernetes: --store-ca-file)"

// Why the PostgreSQL server is not verified. Such an error goes on with what to do.
var (
	ErrUnknownAuthority = errors.New("the certificate of the PostgreSQL server is from an authority that is not known")
	ErrOtherHost        = errors.New("the certificate of the PostgreSQL server is not for the host that the store's URL names")
	ErrNoTLS            = errors.New("the PostgreSQL server does not offer TLS")
)

// verifyAll lets every host of the configuration be reached over TLS alone, and verified against the bundle, each by its own name. What sslmode and sslrootcert of the URL
// have come to is dropped: a mode that falls back to plain text, or verifies nobody, has no place beside a bundle.
func verifyAll(c *pgx.ConnConfig, storeURL string, bundle func() ([]byte, error)) error {
	content, err := bundle()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return errors.New(bundleField + " has no certificate in it: write the certificates of the authorities as PEM")
	}
	hosts, anyName := hostsOf(c), takesAnyName(storeURL)
	for _, h := range hosts {
		h.TLSConfig = verifying(h.TLSConfig, h.Host, roots, anyName)
	}
	c.TLSConfig, c.Fallbacks = hosts[0].TLSConfig, hosts[1:]
	return nil
}

// hostsOf are those of the URL, each once: a mode that falls back has each twice, with TLS and without.
func hostsOf(c *pgx.ConnConfig) []*pgconn.FallbackConfig {
	var hosts []*pgconn.FallbackConfig
	for _, h := range append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...) {
		at := slices.IndexFunc(hosts, func(known *pgconn.FallbackConfig) bool { return known.Host == h.Host && known.Port == h.Port })
		switch {
		case at < 0:
			hosts = append(hosts, h)
		case hosts[at].TLSConfig == nil:
			hosts[at] = h // has the certificate of the client, if there is one
		}
	}
	return hosts
}

// takesAnyName tells whether the URL says verify-ca, and nothing else.
func takesAnyName(storeURL string) bool {
	_, query, _ := strings.Cut(storeURL, "?")
	values, err := url.ParseQuery(query)
	return err == nil && slices.Equal(values["sslmode"], []string{"verify-ca"})
}

// verifying keeps of what the URL has come to the certificate of the client and the protocol, and verifies the server against the roots.
func verifying(parsed *tls.Config, host string, roots *x509.CertPool, anyName bool) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: roots}
	if parsed != nil {
		t.Certificates, t.NextProtos = parsed.Certificates, parsed.NextProtos
	}
	if anyName {
		// crypto/tls verifies the chain with the name or nothing at all, so the chain is verified here.
		t.InsecureSkipVerify = true // #nosec G402 -- VerifyConnection verifies all but the name, as verify-ca says
		t.VerifyConnection = func(state tls.ConnectionState) error {
			options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, c := range state.PeerCertificates[1:] {
				options.Intermediates.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(options)
			return err
		}
	}
	return t
}

// explain puts in front of an error what to do about a server that is not verified. The password is in none of it.
func (d *DB) explain(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%w: put the certificate of that authority into %s: %w", ErrUnknownAuthority, bundleField, err)
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("%w: name one that the certificate is for, or, with %s, write sslmode=verify-ca, which takes any server of these authorities: %w", ErrOtherHost, bundleField, err)
	}
	if d.o.CABundle != nil && err != nil && strings.Contains(err.Error(), "server refused TLS connection") {
		return fmt.Errorf("%w: switch it on there, since nothing is sent without it beside %s: %w", ErrNoTLS, bundleField, err)
	}
	return err
}

// explaining is a connector with errors that say what to do.
type explaining struct {
	driver.Connector
	explain func(error) error
}

func (e explaining) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := e.Connector.Connect(ctx)
	return conn, e.explain(err)
}
