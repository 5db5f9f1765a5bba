package trust

import (
	"bytes"
	"io"
	"strings"
)

var errTruncated = fail(KindNotXML, "The metadata breaks off in the middle: it is not complete XML.")

// limitedReader fails, where io.LimitReader ends: a document that is too large must not look complete.
type limitedReader struct {
	r         io.Reader
	left, max int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, fail(KindTooLarge, "The metadata is larger than %d bytes: point spec.saml.metadata.url at the metadata of the one IdP instead.", l.max)
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}

// checkRoot tells early what is not metadata, before it is read as if it were.
func checkRoot(name string) error {
	switch {
	case name == "EntityDescriptor" || name == "EntitiesDescriptor":
		return nil
	case strings.EqualFold(name, "html"):
		return errWebPage()
	}
	return fail(KindWrongRoot, "What came is XML, but not SAML metadata: its root element is %s, not EntityDescriptor or EntitiesDescriptor.", clip(name))
}

func errWebPage() error {
	return fail(KindNotXML, "What came is a web page, not metadata. If it is from a URL, open that in a browser that is not signed in to see what is there; else copy the XML itself, whose first element is EntityDescriptor.")
}

func (s *splitter) declarationError(open []byte) error {
	if !s.root && bytes.EqualFold(open, []byte("!DOCTYPE html")) {
		return errWebPage()
	}
	return fail(KindDTD, "The metadata has a document type declaration, which SAML metadata never needs and which is not read.")
}

func errInstruction() error {
	return fail(KindDTD, "The metadata has a processing instruction, which SAML metadata never needs and which is not read.")
}
