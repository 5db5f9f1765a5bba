package saml

import "sallyport.dev/sallyport/internal/saml/xmldoc"

// Limits bound what is read before anything is verified.
type Limits struct {
	// MaxMessage is the largest message in bytes of XML, after base64 and DEFLATE.
	MaxMessage int
	// XML bounds the document; its MaxBytes is MaxMessage.
	XML xmldoc.Limits
	// MaxEncryptedKeys is how many EncryptedKey elements are tried per EncryptedData.
	MaxEncryptedKeys int
}

// DefaultLimits fit a response with 2,000 group values and cost an attacker's input less than 100 ms and 32 MiB.
func DefaultLimits() Limits {
	return Limits{MaxMessage: 256 << 10, XML: xmldoc.DefaultLimits(), MaxEncryptedKeys: 4}
}
