package saml

import "sallyport.dev/sallyport/internal/saml/xmldoc"

// DefaultMaxMessage is the largest message where nothing else is said, and MostMaxMessage the most that may be said.
const (
	DefaultMaxMessage = 256 << 10
	MostMaxMessage    = 2 << 20
)

// Limits bound what is read before anything is verified.
type Limits struct {
	// MaxMessage is the largest message in bytes, as it is posted and as XML after base64 and DEFLATE.
	MaxMessage int
	// XML bounds the document; its MaxBytes is MaxMessage.
	XML xmldoc.Limits
	// MaxEncryptedKeys is how many EncryptedKey elements are tried per EncryptedData.
	MaxEncryptedKeys int
}

// DefaultLimits fit a response with 2,000 group values and cost an attacker's input less than 100 ms and 32 MiB.
func DefaultLimits() Limits {
	return Limits{MaxMessage: DefaultMaxMessage, XML: xmldoc.DefaultLimits(), MaxEncryptedKeys: 4}
}

// LimitsFor are the limits for messages of at most so many bytes; 0 is the default. What grows with the number of groups grows in proportion, and so does the cost.
// Depth, namespaces in scope, comments and keys do not: more of those serve nobody.
func LimitsFor(maxMessage int) Limits {
	maxMessage = min(max(maxMessage, DefaultMaxMessage), MostMaxMessage)
	l := DefaultLimits()
	l.MaxMessage, l.XML.MaxBytes = maxMessage, maxMessage
	l.XML.MaxElements = scaled(l.XML.MaxElements, maxMessage)
	l.XML.MaxAttributes = scaled(l.XML.MaxAttributes, maxMessage)
	return l
}

func scaled(byDefault, maxMessage int) int {
	return int(int64(byDefault) * int64(maxMessage) / DefaultMaxMessage)
}
