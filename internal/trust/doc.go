// Package trust finds out what an identity provider is to be trusted with, and keeps our own keys.
//
// It reads metadata (saml-metadata) from wherever it came, fetches it over https, refreshes it in the background with the last good
// copy kept, and plans the life of the SP's own keys. It knows no Kubernetes: the operator's controllers hand it bytes and store
// what it returns.
package trust
