package xmlenc

import "crypto"

// Namespaces.
const (
	Space   = "http://www.w3.org/2001/04/xmlenc#"
	Space11 = "http://www.w3.org/2009/xmlenc11#"
	dsSpace = "http://www.w3.org/2000/09/xmldsig#"
)

// Block encryption (xmlenc-core1 5.2).
const (
	AES128GCM = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	AES192GCM = "http://www.w3.org/2009/xmlenc11#aes192-gcm"
	AES256GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	AES128CBC = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	AES192CBC = "http://www.w3.org/2001/04/xmlenc#aes192-cbc"
	AES256CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
)

// Key transport (xmlenc-core1 5.5).
const (
	// OAEPMGF1P always masks with MGF1 and SHA-1; its digest may be another.
	OAEPMGF1P = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	// OAEP names its mask generation function; the default is MGF1 with SHA-1.
	OAEP = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
)

type block struct {
	size int
	cbc  bool
}

func blockMethod(uri string) (block, bool) {
	switch uri {
	case AES128GCM:
		return block{size: 16}, true
	case AES192GCM:
		return block{size: 24}, true
	case AES256GCM:
		return block{size: 32}, true
	case AES128CBC:
		return block{size: 16, cbc: true}, true
	case AES192CBC:
		return block{size: 24, cbc: true}, true
	case AES256CBC:
		return block{size: 32, cbc: true}, true
	}
	return block{}, false
}

// oaepDigest knows the digests under the URIs that the W3C gave them, and under those that crewjam/saml writes.
func oaepDigest(uri string) (crypto.Hash, bool) {
	switch uri {
	case "", "http://www.w3.org/2000/09/xmldsig#sha1":
		return crypto.SHA1, true
	case "http://www.w3.org/2001/04/xmldsig-more#sha224":
		return crypto.SHA224, true
	case "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha256":
		return crypto.SHA256, true
	case "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha384":
		return crypto.SHA384, true
	case "http://www.w3.org/2001/04/xmlenc#sha512", "http://www.w3.org/2000/09/xmldsig#sha512":
		return crypto.SHA512, true
	}
	return 0, false
}

func maskFunction(uri string) (crypto.Hash, bool) {
	switch uri {
	case "", "http://www.w3.org/2009/xmlenc11#mgf1sha1":
		return crypto.SHA1, true
	case "http://www.w3.org/2009/xmlenc11#mgf1sha224":
		return crypto.SHA224, true
	case "http://www.w3.org/2009/xmlenc11#mgf1sha256":
		return crypto.SHA256, true
	case "http://www.w3.org/2009/xmlenc11#mgf1sha384":
		return crypto.SHA384, true
	case "http://www.w3.org/2009/xmlenc11#mgf1sha512":
		return crypto.SHA512, true
	}
	return 0, false
}
