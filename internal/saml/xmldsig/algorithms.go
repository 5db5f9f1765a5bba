package xmldsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"math/big"

	_ "crypto/sha1" // #nosec G505 -- for connections that opt in
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// Space is the namespace of XML signatures.
const Space = "http://www.w3.org/2000/09/xmldsig#"

// Transforms and canonicalization, the only two that are accepted.
const (
	Enveloped     = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	ExclusiveC14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// Signature methods (RFC 6931).
const (
	RSASHA1     = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
	RSASHA256   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	RSASHA384   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"
	RSASHA512   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
	ECDSASHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	ECDSASHA384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
	ECDSASHA512 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512"
)

// Digest methods.
const (
	SHA1   = "http://www.w3.org/2000/09/xmldsig#sha1"
	SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
	SHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"
)

type method struct {
	hash  crypto.Hash
	ecdsa bool
}

// signatureMethod knows the allowed signature methods. SHA-1 needs the connection's opt-in.
func signatureMethod(uri string, allowSHA1 bool) (method, bool) {
	switch uri {
	case RSASHA256:
		return method{hash: crypto.SHA256}, true
	case RSASHA384:
		return method{hash: crypto.SHA384}, true
	case RSASHA512:
		return method{hash: crypto.SHA512}, true
	case ECDSASHA256:
		return method{hash: crypto.SHA256, ecdsa: true}, true
	case ECDSASHA384:
		return method{hash: crypto.SHA384, ecdsa: true}, true
	case ECDSASHA512:
		return method{hash: crypto.SHA512, ecdsa: true}, true
	case RSASHA1:
		return method{hash: crypto.SHA1}, allowSHA1
	}
	return method{}, false
}

func digestMethod(uri string, allowSHA1 bool) (crypto.Hash, bool) {
	switch uri {
	case SHA256:
		return crypto.SHA256, true
	case SHA384:
		return crypto.SHA384, true
	case SHA512:
		return crypto.SHA512, true
	case SHA1:
		return crypto.SHA1, allowSHA1
	}
	return 0, false
}

// Key sizes in bits that an RSA key must lie between. The upper bound keeps one verification below a millisecond.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// CheckKey tells why a public key may not verify signatures: RSA below 2048 bits, a curve below P-256, any other kind.
func CheckKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return fmt.Errorf("an RSA key of %d bits is not used; it must have %d to %d", bits, MinRSABits, MaxRSABits)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return fmt.Errorf("an elliptic curve other than P-256, P-384 and P-521 is not used")
		}
		return nil
	}
	return fmt.Errorf("a key of type %T is not used; it must be RSA or ECDSA", pub)
}

// verify checks one signature value with one key; a key of the wrong kind verifies nothing.
func (m method) verify(pub crypto.PublicKey, digest, sig []byte) bool {
	if CheckKey(pub) != nil {
		return false
	}
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return !m.ecdsa && rsa.VerifyPKCS1v15(k, m.hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		size := (k.Curve.Params().BitSize + 7) / 8
		if !m.ecdsa || len(sig) != 2*size {
			return false
		}
		// RFC 4050 3.3: r and s, each as long as the curve's order, not ASN.1.
		r, s := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
		return ecdsa.Verify(k, digest, r, s)
	}
	return false
}

// MethodFor is the signature method that a private key signs with.
func MethodFor(pub crypto.PublicKey) (string, error) {
	if err := CheckKey(pub); err != nil {
		return "", err
	}
	if k, ok := pub.(*ecdsa.PublicKey); ok {
		switch k.Curve {
		case elliptic.P384():
			return ECDSASHA384, nil
		case elliptic.P521():
			return ECDSASHA512, nil
		}
		return ECDSASHA256, nil
	}
	return RSASHA256, nil
}
