package audit

import (
	"crypto/ed25519"
	"slices"
)

// SignHead signs where a chain ends now; on a nil Signer there is no signature. The store keeps it beside the end: records that are not sealed yet are nobody else's
// to replace or to add.
func (s *Signer) SignHead(h Head) (string, error) {
	if s == nil {
		return "", nil
	}
	return sign(s.key, headPurpose, h)
}

// Ended tells whether this signer's key, or one that it has replaced, has signed this end; a nil Signer takes any.
func (s *Signer) Ended(h Head, signature string) bool {
	if s == nil {
		return true
	}
	return slices.ContainsFunc(s.Keys(), func(key ed25519.PublicKey) bool { return check(key, headPurpose, h, signature) == nil })
}
