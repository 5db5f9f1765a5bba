// Package saml speaks the SAML 2.0 Web Browser SSO and Single Logout profiles (saml-profiles 4.1 and 4.4) as a service provider.
//
// A Connection is compiled once from a snapshot.Connection and is then immutable and safe for concurrent use. It makes
// AuthnRequests, decides whether a response is accepted, speaks single logout over the Redirect and POST bindings, and
// writes the SP metadata of that connection. The package knows no HTTP handler, no store and no Kubernetes: replay, sessions,
// mapping and provisioning belong to its callers.
//
// Accept is a sequence of small named checks in the order of docs/security/response-pipeline.md. It never reads a byte that no
// trusted key signed when it builds an Assertion: verification yields canonical bytes, those bytes are parsed again by the one
// strict parser of xmldoc, and only that second tree is consulted.
package saml
