package saml

import (
	"bytes"
	"fmt"

	"github.com/beevik/etree"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// serialize writes a message of ours; with a signer, the signature goes where the schema wants it, after Issuer (saml-core 3.2.1).
func serialize(el *etree.Element, signer *xmldsig.Signer) ([]byte, error) {
	doc := etree.NewDocumentWithRoot(el)
	plain, err := doc.WriteToBytes()
	if err != nil || signer == nil {
		return plain, err
	}
	root, err := xmldoc.Parse(plain, DefaultLimits().XML)
	if err != nil {
		return nil, fmt.Errorf("saml: own message: %w", err)
	}
	signature, err := signer.Sign(root)
	if err != nil {
		return nil, err
	}
	before, after, ok := bytes.Cut(plain, []byte("</saml:Issuer>"))
	if !ok {
		return nil, fmt.Errorf("saml: own message has no Issuer")
	}
	return bytes.Join([][]byte{before, []byte("</saml:Issuer>"), signature, after}, nil), nil
}
