package trust

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"hash"
	"io"
	"slices"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

const (
	nsMetadata = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsProtocol = "urn:oasis:names:tc:SAML:2.0:protocol"
)

// entityLimits bound one entity. Federations list hundreds of scopes and display names in one, so they are wider than a response's.
func entityLimits() xmldoc.Limits {
	return xmldoc.Limits{
		MaxBytes: MaxEntityBytes + (maxNesting+1)*2*maxTagBytes, MaxDepth: 64, MaxElements: 20_000, MaxAttributes: 60_000, MaxAttributesPerElement: 64,
		MaxNamespaces: 64, MaxComments: 2_000,
	}
}

// selection is the one entity that was asked for: a document that has the start tags around it, and nothing else.
type selection struct {
	document []byte
	// depth is how many EntitiesDescriptor elements are around the entity.
	depth int
	// signed is true when the document is what the root's signature was made over.
	signed bool
	// rootProblem is why the root's signature was not accepted; nil when it has none.
	rootProblem error
}

// selector picks the entity out of the pieces of a document and computes the digest of a signed aggregate on the way.
type selector struct {
	o      ParseOptions
	policy xmldsig.Policy

	xmlDeclaration []byte
	// shell has the start tags of the open EntitiesDescriptor elements.
	shell [][]byte
	// children is how many elements the root has so far; its signature comes first (saml-metadata 2.3.1).
	children int

	entities int
	found    *selection

	// signed is what the root's signature says, once its value is verified; rootProblem is why it is not.
	signed      *xmldsig.Signed
	rootProblem error
	digest      hash.Hash
	// before is the white space between the root's start tag and its signature.
	before []byte
	// canonical is the canonical form of shell; before the root's signature was read there is none.
	canonical []byte
}

func selectEntity(r io.Reader, o ParseOptions) (*selection, error) {
	s := &selector{o: o}
	if err := s.keys(); err != nil {
		return nil, err
	}
	if err := split(r, o.MaxBytes, o.share, s); err != nil {
		return nil, err
	}
	if s.found == nil && s.entities == 0 {
		return nil, fail(KindEntityNotFound, "The metadata has no entity in it.")
	}
	if s.found == nil && o.EntityID == "" {
		return nil, fail(KindNoIDPSSODescriptor, "None of the %d entities in the metadata is a SAML 2.0 identity provider (IDPSSODescriptor).", s.entities)
	}
	if s.found == nil && s.entities == 1 {
		return nil, fail(KindEntityNotFound, "The metadata is about another entity than %s, which spec.saml.metadata.entityID asks for.", clip(o.EntityID))
	}
	if s.found == nil {
		return nil, fail(KindEntityNotFound, "None of the %d entities in the metadata is %s, which spec.saml.metadata.entityID asks for.", s.entities, clip(o.EntityID))
	}
	if s.signed == nil {
		s.found.rootProblem = s.rootProblem
		return s.found, nil
	}
	if subtle.ConstantTimeCompare(s.digest.Sum(nil), s.signed.Digest) != 1 {
		return nil, fail(KindSignature, "The metadata was changed after it was signed: its digest differs.")
	}
	s.found.signed = true
	return s.found, nil
}

func (s *selector) declaration(raw []byte) error {
	s.xmlDeclaration = slices.Clone(raw)
	return nil
}

// wrap makes a document of the start tags around a piece, the piece, and the end tags.
func (s *selector) wrap(piece []byte) []byte {
	size := len(s.xmlDeclaration) + len(piece)
	for _, tag := range s.shell {
		size += 2*len(tag) + 1
	}
	document := append(make([]byte, 0, size), s.xmlDeclaration...)
	for _, tag := range s.shell {
		document = append(document, tag...)
	}
	return append(append(document, piece...), s.endTags()...)
}

func (s *selector) endTags() []byte {
	var tags []byte
	for _, tag := range slices.Backward(s.shell) {
		tags = append(tags, endTag(tag)...)
	}
	return tags
}

// parse reads a piece with the start tags around it and returns the document and the piece in it, which is nil for an empty piece.
func (s *selector) parse(piece []byte) (document, element *xmldoc.Node, err error) {
	return parseWrapped(s.wrap(piece), len(s.shell))
}

func parseWrapped(document []byte, depth int) (root, element *xmldoc.Node, err error) {
	root, err = xmldoc.Parse(document, entityLimits())
	if err != nil {
		return nil, nil, xmlError(err)
	}
	element = root
	for i := range depth {
		if !element.Is(nsMetadata, "EntitiesDescriptor") {
			return nil, nil, errNamespace("EntitiesDescriptor")
		}
		if i == depth-1 && element.First == nil {
			return root, nil, nil
		}
		element = element.First
	}
	if element.Next != nil {
		return nil, nil, fail(KindNotXML, "The metadata is not well-formed XML.")
	}
	return root, element, nil
}

func errNamespace(name string) error {
	return fail(KindWrongRoot, "What came is XML, but not SAML metadata: %s is not in the namespace %s.", clip(name), nsMetadata)
}

func xmlError(err error) error {
	if errors.Is(err, xmldoc.ErrLimit) {
		return fail(KindTooLarge, "One entity of the metadata is too large: %s.", err)
	}
	if syntax, ok := errors.AsType[*xmldoc.SyntaxError](err); ok {
		return fail(KindNotXML, "The metadata is not well-formed XML: %s.", syntax.What)
	}
	return fail(KindNotXML, "The metadata is not well-formed XML.")
}

func (s *selector) open(tag []byte) error {
	if len(s.shell) > 0 {
		s.children++
	}
	s.shell = append(s.shell, slices.Clone(tag))
	document, _, err := s.parse(nil)
	if err != nil {
		return err
	}
	if s.signed == nil {
		return nil
	}
	return s.hashShell(document)
}

func (s *selector) close(tag []byte) error {
	end := bytes.TrimRight(bytes.TrimSuffix(tag, []byte(">")), " \t\r\n")
	if want := endTag(s.shell[len(s.shell)-1]); !bytes.Equal(append(end, '>'), want) {
		return fail(KindNotXML, "The metadata is not well-formed XML: an end tag does not fit its start.")
	}
	if s.signed != nil {
		s.digest.Write(endTag(s.shell[len(s.shell)-1]))
	}
	s.shell = s.shell[:len(s.shell)-1]
	if s.signed == nil || len(s.shell) == 0 {
		return nil
	}
	document, _, err := s.parse(nil)
	if err != nil {
		return err
	}
	// What is open again was hashed when it was opened.
	canonical, err := document.Canonical(nil, s.signed.PrefixList)
	if err != nil {
		return errCanonical()
	}
	s.canonical = canonical[:len(canonical)-len(s.endTags())]
	return nil
}

func (s *selector) space(text []byte) error {
	if s.signed != nil {
		s.digest.Write(text)
		return nil
	}
	if s.mustVerify() && s.children == 0 {
		return s.keepSpace(text)
	}
	return nil
}

// keepSpace keeps the white space between the root's start tag and its signature: both are read before it is known how to hash it.
func (s *selector) keepSpace(text []byte) error {
	if len(s.before)+len(text) > maxTagBytes {
		return fail(KindTooLarge, "There are more than %d bytes of white space before the metadata's signature.", maxTagBytes)
	}
	s.before = append(s.before, text...)
	return nil
}

func (s *selector) element(raw []byte) error {
	name := localName(raw)
	first := s.children == 0 && len(s.shell) == 1
	s.children++
	if name == "Signature" && len(s.shell) == 1 {
		return s.signature(raw, first)
	}
	isEntity := name == "EntityDescriptor"
	if isEntity {
		s.entities++
	}
	if len(s.shell) == 0 {
		s.found = &selection{document: s.wrap(raw)}
		return nil
	}
	wanted, err := s.wants(raw, isEntity)
	if err != nil || (!wanted && s.signed == nil) {
		return err
	}
	if s.signed == nil {
		return s.take(&selection{document: s.wrap(raw), depth: len(s.shell)})
	}
	canonical, err := s.hashElement(raw)
	if err != nil || !wanted {
		return err
	}
	return s.take(&selection{document: canonical, depth: len(s.shell)})
}

func (s *selector) take(found *selection) error {
	if s.found != nil && s.o.EntityID == "" {
		return fail(KindEntityNotFound, "The metadata has more than one identity provider: write the entity ID of the one that is meant into spec.saml.metadata.entityID.")
	}
	if s.found != nil {
		return fail(KindEntityNotFound, "The metadata has the entity %s twice, so it is not clear which one is right.", clip(s.o.EntityID))
	}
	s.found = found
	return nil
}

// wants tells whether an element is the entity that is asked for.
func (s *selector) wants(raw []byte, isEntity bool) (bool, error) {
	if !isEntity {
		return false, nil
	}
	if s.o.EntityID != "" {
		// Only the start tag is parsed: thousands of entities are looked at for the one that is kept.
		_, element, err := s.parse(emptied(raw))
		if err != nil {
			return false, err
		}
		return element.Is(nsMetadata, "EntityDescriptor") && element.Value("entityID") == s.o.EntityID, nil
	}
	if !bytes.Contains(raw, []byte("IDPSSODescriptor")) {
		return false, nil
	}
	_, element, err := s.parse(raw)
	if err != nil {
		return false, err
	}
	return element.Is(nsMetadata, "EntityDescriptor") && identityProviderRole(element) != nil, nil
}

// emptied returns the start tag of an element as an element without content.
func emptied(raw []byte) []byte {
	var quote byte
	for i, c := range raw {
		switch {
		case quote == c:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == '>' && raw[i-1] == '/':
			return raw[:i+1]
		case quote == 0 && c == '>':
			return append(slices.Clone(raw[:i]), "/>"...)
		}
	}
	return raw
}
