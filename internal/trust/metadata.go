package trust

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

// Limits of metadata.
const (
	// DefaultMaxBytes is how large a document may be, inflated: 50 MB.
	DefaultMaxBytes = 50_000_000
	// MaxEntityBytes is how large one entity in it may be: 2 MiB.
	MaxEntityBytes = 2 << 20
)

// Use is what metadata allows a key for; a key without use is for both (saml-metadata 2.4.1.1).
type Use string

const (
	UseSigning    Use = "Signing"
	UseEncryption Use = "Encryption"
	UseBoth       Use = "Both"
)

// Certificate is one certificate of the IdP, for people: what is trusted is in Metadata.Trust.
type Certificate struct {
	// SHA256 is the fingerprint of the DER form: lower-case hexadecimal.
	SHA256  string `json:"sha256"`
	Subject string `json:"subject,omitempty"`
	// NotBefore and NotAfter do not decide whether it is used: metadata vouches for the key, not its dates.
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Use       Use       `json:"use"`
	// Key is the kind of key, such as "RSA 2048" or "ECDSA P-256".
	Key string `json:"key,omitempty"`
	// Weak says why the key is not trusted, such as RSA below 2048 bits; empty: it is.
	Weak string `json:"weak,omitempty"`
}

// Metadata is what one entity's metadata says.
type Metadata struct {
	Trust snapshot.Trust `json:"trust"`
	// Certificates in document order, each once, the weak ones too.
	Certificates []Certificate `json:"certificates"`
	// ValidUntil is when the metadata expires, zero when it never does. The earliest of those around the entity counts.
	ValidUntil time.Time `json:"validUntil,omitzero"`
	// CacheDuration is how long a copy may be kept before it is looked at again, 0 when the metadata does not say.
	CacheDuration time.Duration `json:"cacheDuration,omitempty"`
	// Digest names what is trusted: SHA-256 in hexadecimal, the same for the same content in any order, whatever ValidUntil is.
	Digest string `json:"digest"`
	// Warnings are sentences about what was left out, such as an endpoint over http.
	Warnings []string `json:"warnings,omitempty"`
}

// ParseOptions say which entity is read, and what is asked of the metadata.
type ParseOptions struct {
	// EntityID selects one entity of an aggregate, and pins it. Empty: the only IdP that there is.
	EntityID string
	// SignatureCertificates: one of them must have signed the document's root or the entity. None: no signature is asked for.
	SignatureCertificates []*x509.Certificate
	// Now decides whether the metadata has expired. Zero: the clock of this machine.
	Now time.Time
	// MaxBytes is how large the document may be; 0 is DefaultMaxBytes.
	MaxBytes int64
	// AllowHTTPLoopback lets endpoints of the IdP be http://127.0.0.1 and the like: for tests and demonstrations on one machine.
	AllowHTTPLoopback bool

	share *share
}

// ParseMetadata reads SAML 2.0 metadata, an EntityDescriptor or an aggregate of any depth (saml-metadata 2.3), as a stream: what it
// holds in memory is bounded by MaxEntityBytes, whatever the size of the document. Errors are *Error.
func ParseMetadata(r io.Reader, o ParseOptions) (*Metadata, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	selected, err := selectEntity(r, o)
	if err != nil {
		return nil, err
	}
	m, err := readEntity(selected, o)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// CheckEntityID refuses a changed entity ID: inService is the one that is trusted now (empty: none), pinned is what the user wrote (empty: nothing).
func CheckEntityID(inService string, next *Metadata, pinned string) error {
	if inService == "" || inService == next.Trust.EntityID || pinned == next.Trust.EntityID {
		return nil
	}
	e := fail(KindEntityIDChanged, "The metadata has another entity ID than before, %s instead of %s: if that is right, set spec.saml.metadata.entityID: %[1]s. Until then the last good copy is used.",
		clip(next.Trust.EntityID), clip(inService))
	e.Expected, e.Actual = inService, next.Trust.EntityID
	return e
}

// Changes are what one copy of the metadata says differently from another.
type Changes struct {
	CertificatesAdded   []Certificate `json:"certificatesAdded,omitempty"`
	CertificatesRemoved []Certificate `json:"certificatesRemoved,omitempty"`
	// Endpoints that were added or removed; one whose URL changed is in both.
	EndpointsAdded   []snapshot.Endpoint `json:"endpointsAdded,omitempty"`
	EndpointsRemoved []snapshot.Endpoint `json:"endpointsRemoved,omitempty"`
	// EntityID is the former entity ID, when it changed.
	FormerEntityID string `json:"formerEntityID,omitempty"`
	// Other is true when something else that is trusted changed: what a key is for, NameID formats, attributes, whether requests are to be signed.
	Other bool `json:"other,omitempty"`
}

// Any tells whether there is a change at all.
func (c Changes) Any() bool {
	return len(c.CertificatesAdded)+len(c.CertificatesRemoved)+len(c.EndpointsAdded)+len(c.EndpointsRemoved) > 0 || c.FormerEntityID != "" || c.Other
}

// Compare returns what changed from one copy to the next. From nil everything is new.
func Compare(from, to *Metadata) Changes {
	if from == nil {
		from = &Metadata{}
	}
	if to == nil {
		to = &Metadata{}
	}
	var c Changes
	c.CertificatesAdded = without(to.Certificates, from.Certificates, fingerprint)
	c.CertificatesRemoved = without(from.Certificates, to.Certificates, fingerprint)
	same := func(e snapshot.Endpoint) snapshot.Endpoint { return e }
	c.EndpointsAdded = append(without(to.Trust.SSO, from.Trust.SSO, same), without(to.Trust.SLO, from.Trust.SLO, same)...)
	c.EndpointsRemoved = append(without(from.Trust.SSO, to.Trust.SSO, same), without(from.Trust.SLO, to.Trust.SLO, same)...)
	if from.Trust.EntityID != to.Trust.EntityID {
		c.FormerEntityID = from.Trust.EntityID
	}
	c.Other = !c.Any() && from.Digest != to.Digest
	return c
}

func fingerprint(c Certificate) string { return c.SHA256 }

// without returns the elements of a that b has not.
func without[T any, K comparable](a, b []T, key func(T) K) []T {
	known := map[K]bool{}
	for _, e := range b {
		known[key(e)] = true
	}
	var out []T
	for _, e := range a {
		if !known[key(e)] {
			out = append(out, e)
		}
	}
	return out
}

// digest names what is trusted, in whatever order it came.
func digest(t snapshot.Trust) string {
	t.ValidUntil = time.Time{}
	t.SSO, t.SLO = sorted(t.SSO, compareEndpoints), sorted(t.SLO, compareEndpoints)
	t.SigningCertificates = sorted(t.SigningCertificates, slices.Compare)
	t.EncryptionCertificates = sorted(t.EncryptionCertificates, slices.Compare)
	t.NameIDFormats = sorted(t.NameIDFormats, cmp.Compare)
	t.Attributes = sorted(t.Attributes, func(a, b snapshot.AdvertisedAttribute) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.FriendlyName, b.FriendlyName))
	})
	// A Trust always marshals: it has strings, bytes and a time.
	encoded, _ := json.Marshal(t)
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

func sorted[S ~[]E, E any](s S, compare func(a, b E) int) S {
	return slices.SortedFunc(slices.Values(s), compare)
}

func compareEndpoints(a, b snapshot.Endpoint) int {
	return cmp.Or(cmp.Compare(a.Binding, b.Binding), cmp.Compare(a.URL, b.URL), cmp.Compare(a.ResponseURL, b.ResponseURL))
}

// clip shortens a name that came from elsewhere, for a sentence.
func clip(s string) string {
	const most = 200
	runes := []rune(s)
	for i, r := range runes {
		if r < ' ' || r == 0x7f {
			runes[i] = '?'
		}
	}
	if len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return string(runes)
}
