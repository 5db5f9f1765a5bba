package saml

import (
	"errors"
	"fmt"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
)

// sentenceDecryption is the same whatever went wrong: a difference would tell an attacker about the key (IIP-SP13).
const sentenceDecryption = "What the IdP encrypted cannot be decrypted with any key of this connection."

// decryptAssertion sets a.received: the one assertion, decrypted when it is encrypted (rule 5).
func (a *acceptance) decryptAssertion() *Refusal {
	defer a.begin(PhaseDecrypt)()
	if plain, _ := a.original.Child(nsAssertion, "Assertion"); plain != nil {
		if a.conf.Response.RequireEncryption {
			return a.refuse(ReasonDecryptionFailed, CheckEncryption, "an encrypted assertion", "a plain assertion",
				"The assertion is not encrypted, and this connection requires it.")
		}
		a.received = plain
		return nil
	}
	a.out.Encrypted = true
	// The ciphertext is taken from the verified bytes when there are any.
	encrypted, _ := a.response.Child(nsAssertion, "EncryptedAssertion")
	plaintext, r := a.decryptElement(encrypted, a.responseSigned)
	if r != nil {
		return r
	}
	outer, _ := a.original.Child(nsAssertion, "EncryptedAssertion")
	a.received, r = a.parseDecrypted(plaintext, outer.Scope(), "Assertion")
	if r != nil {
		return r
	}
	if sig, err := xmldsig.Find(a.received); err == nil && sig == nil && a.responseSigned {
		// Nothing but the Response's signature vouches for it, so no unverified declaration may give its names a meaning.
		a.received, r = a.parseDecrypted(plaintext, trustedScope(outer, encrypted), "Assertion")
	}
	if r != nil {
		return r
	}
	if what := oddPlaces(a.received); what != "" || a.received.Value("ID") == a.original.Value("ID") {
		return a.refuse(ReasonMalformed, CheckShape, "", what, "The decrypted assertion does not have the structure that SAML requires.")
	}
	return nil
}

// decryptElement decrypts EncryptedAssertion, EncryptedID or EncryptedAttribute.
func (c *Connection) decryptElement(encrypted *xmldoc.Node, signed bool) ([]byte, *Refusal) {
	plaintext, err := xmlenc.Decrypt(encrypted, xmlenc.Policy{Keys: c.decrypters, AllowCBC: signed, MaxEncryptedKeys: c.limits.MaxEncryptedKeys})
	var algorithm *xmlenc.AlgorithmError
	var shape *xmlenc.ShapeError
	switch {
	case errors.As(err, &algorithm):
		return nil, c.refuse(ReasonAlgorithmRefused, CheckEncryption, "AES-GCM with RSA-OAEP", algorithm.URI,
			fmt.Sprintf("The IdP encrypted with %s %q, which is not accepted.", algorithm.What, algorithm.URI))
	case errors.As(err, &shape):
		return nil, c.refuse(ReasonMalformed, CheckEncryption, "", shape.What, "The encrypted element does not have the structure that XML Encryption requires: "+shape.What+".")
	case err != nil:
		return nil, c.decryptionRefusal()
	}
	return plaintext, nil
}

func (c *Connection) decryptionRefusal() *Refusal {
	return c.refuse(ReasonDecryptionFailed, CheckEncryption, "", "", sentenceDecryption)
}

// parseDecrypted parses plaintext as one element of SAML. A plaintext that is none looks just like a wrong key.
func (c *Connection) parseDecrypted(plaintext []byte, scope []xmldoc.Decl, local string) (*xmldoc.Node, *Refusal) {
	n, err := xmldoc.ParseFragment(plaintext, scope, c.limits.XML)
	if err != nil || !n.Is(nsAssertion, local) {
		return nil, c.decryptionRefusal()
	}
	return n, nil
}

// trustedScope is the context in which a decrypted element without a signature of its own is read: the declarations of the
// verified bytes, and of the received ones those that exclusive canonicalization left out because nothing outside of the ciphertext
// uses them, unless they name a namespace that we read.
func trustedScope(received, verified *xmldoc.Node) []xmldoc.Decl {
	out := verified.Scope()
	for _, d := range received.Scope() {
		known := false
		for _, v := range out {
			known = known || v.Prefix == d.Prefix
		}
		switch d.URI {
		case nsAssertion, nsProtocol, xmldsig.Space, xmlenc.Space, xmlenc.Space11:
			known = true
		}
		if !known {
			out = append(out, d)
		}
	}
	return out
}
