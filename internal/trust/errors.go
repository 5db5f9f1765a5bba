package trust

import (
	"fmt"
	"time"
)

// Kind is why metadata could not be had or used: a closed list, one word each, for condition reasons, audit records and metrics.
type Kind string

const (
	// KindInvalidURL: the metadata URL is not an absolute https URL.
	KindInvalidURL Kind = "InvalidURL"
	// KindDNS: the host name has no address, or the DNS servers do not answer.
	KindDNS Kind = "DNS"
	// KindConnection: no connection, or it broke.
	KindConnection Kind = "Connection"
	// KindTLS: the server's certificate or TLS itself is not acceptable.
	KindTLS Kind = "TLS"
	// KindTimeout: the server took too long.
	KindTimeout Kind = "Timeout"
	// KindAddressRefused: the address is one that must not be connected to.
	KindAddressRefused Kind = "AddressRefused"
	// KindRedirect: too many redirects, or one that must not be followed.
	KindRedirect Kind = "Redirect"
	// KindHTTPStatus: the server answered with another status than 200.
	KindHTTPStatus Kind = "HTTPStatus"
	// KindTooLarge: more than the limits allow.
	KindTooLarge Kind = "TooLarge"
	// KindNotXML: what came is not well-formed XML in UTF-8.
	KindNotXML Kind = "NotXML"
	// KindDTD: the document has a document type declaration or a processing instruction.
	KindDTD Kind = "DTD"
	// KindWrongRoot: XML, but not SAML 2.0 metadata.
	KindWrongRoot Kind = "WrongRoot"
	// KindEntityNotFound: no entity, or more than one, is the one that is asked for.
	KindEntityNotFound Kind = "EntityNotFound"
	// KindNoIDPSSODescriptor: the entity is not a SAML 2.0 IdP.
	KindNoIDPSSODescriptor Kind = "NoIDPSSODescriptor"
	// KindNoSigningKey: the IdP has no signing certificate that can be used.
	KindNoSigningKey Kind = "NoSigningKey"
	// KindBadCertificate: a certificate does not parse.
	KindBadCertificate Kind = "BadCertificate"
	// KindBadEndpoint: the IdP has no single sign-on endpoint that can be used.
	KindBadEndpoint Kind = "BadEndpoint"
	// KindSignature: the metadata is not signed by the pinned certificate.
	KindSignature Kind = "Signature"
	// KindExpired: validUntil is over.
	KindExpired Kind = "Expired"
	// KindEntityIDChanged: the entity ID is another one than before, and not pinned.
	KindEntityIDChanged Kind = "EntityIDChanged"
)

// Error is why metadata could not be had or used.
type Error struct {
	Kind Kind
	// Sentence is for people: what happened and what to do. It never quotes what a server sent, but for names such as an entity ID.
	Sentence string
	// Expected and Actual are set where two values differ: entity IDs with KindEntityIDChanged.
	Expected, Actual string
	// RetryAfter is how long the server asks to be left alone (RFC 9110 10.2.3); 0 when it does not.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Sentence }

func fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Sentence: fmt.Sprintf(format, args...)}
}
