package xmldsig

import (
	"crypto"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// Signed is what a genuine signature says about the element that it was made over.
type Signed struct {
	// ID of that element.
	ID string
	// PrefixList of its exclusive canonicalization.
	PrefixList string
	Hash       crypto.Hash
	Digest     []byte
}

func errElsewhere() error {
	return shape("the signature's Reference is not to the ID of the element that carries it")
}

// VerifySignature checks the signature value alone, for an element that is too large to be held as a tree, such as an aggregate
// of metadata: the caller canonicalizes the element without the signature piece by piece and compares the digest. Until it has,
// nothing is verified. Errors are *Error.
func VerifySignature(sig *xmldoc.Node, p Policy) (*Signed, error) {
	parts, err := signatureParts(sig)
	if err != nil {
		return nil, err
	}
	info, err := verifySignedInfo(parts, p)
	if err != nil {
		return nil, err
	}
	ref, err := reference(info, p.AllowSHA1)
	if err != nil {
		return nil, err
	}
	id, ok := strings.CutPrefix(ref.uri, "#")
	if !ok || id == "" {
		return nil, errElsewhere()
	}
	return &Signed{ID: id, PrefixList: ref.prefixList, Hash: ref.hash, Digest: ref.digest}, nil
}
