package trust

import (
	"bytes"
	"crypto/x509"
	"errors"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
)

// keys makes the policy that signatures are verified by. KeyInfo is never consulted, and SHA-1 never accepted.
func (s *selector) keys() error {
	for _, certificate := range s.o.SignatureCertificates {
		if err := xmldsig.CheckKey(certificate.PublicKey); err != nil {
			return fail(KindSignature, "spec.saml.metadata.signatureCertificate cannot be used: %s.", err)
		}
		s.policy.Keys = append(s.policy.Keys, certificate.PublicKey)
	}
	s.policy.Limits = xmldoc.DefaultLimits()
	return nil
}

func (s *selector) mustVerify() bool { return len(s.policy.Keys) > 0 }

// signature reads the signature of the root. One that is not by a pinned key leaves the entity's own signature to decide.
func (s *selector) signature(raw []byte, first bool) error {
	if !s.mustVerify() {
		return nil
	}
	root, element, err := s.parse(raw)
	if err != nil {
		return err
	}
	if !first || !element.Is(xmldsig.Space, "Signature") {
		return fail(KindSignature, "The metadata's root carries its signature in an odd place: it must be the first element, once.")
	}
	signed, err := xmldsig.VerifySignature(element, s.policy)
	if err != nil {
		s.rootProblem = signatureError(err)
		return nil
	}
	if signed.ID != root.Value("ID") {
		return fail(KindSignature, "The signature in the metadata's root is over another element.")
	}
	s.signed, s.digest = signed, signed.Hash.New()
	shell, _, err := s.parse(nil)
	if err != nil {
		return err
	}
	if err := s.hashShell(shell); err != nil {
		return err
	}
	s.digest.Write(s.before)
	return nil
}

func signatureError(err error) error {
	typed, ok := errors.AsType[*xmldsig.Error](err)
	if !ok {
		return fail(KindSignature, "The metadata's signature could not be verified.")
	}
	switch typed.Kind {
	case xmldsig.Missing:
		return fail(KindSignature, "The metadata is not signed, and spec.saml.metadata.signatureCertificate asks for a signature.")
	case xmldsig.Untrusted:
		if typed.Certificate != nil {
			if shown, err := x509.ParseCertificate(typed.Certificate); err == nil {
				return fail(KindSignature, "The metadata is not signed with the key of spec.saml.metadata.signatureCertificate: it shows the certificate with the SHA-256 fingerprint %s. If that one is right, put it there.", hexSHA256(shown.Raw))
			}
		}
		return fail(KindSignature, "The metadata is not signed with the key of spec.saml.metadata.signatureCertificate.")
	}
	return fail(KindSignature, "The metadata's signature is not acceptable: %s.", typed.What)
}

// hashShell adds to the digest what the newest start tag adds to the canonical form of those that are open.
func (s *selector) hashShell(shell *xmldoc.Node) error {
	canonical, err := shell.Canonical(nil, s.signed.PrefixList)
	if err != nil {
		return errCanonical()
	}
	ends := s.endTags()
	if !bytes.HasSuffix(canonical, ends) || !bytes.HasPrefix(canonical, s.canonical) {
		return errCanonical()
	}
	canonical = canonical[:len(canonical)-len(ends)]
	s.digest.Write(canonical[len(s.canonical):])
	s.canonical = canonical
	return nil
}

func errCanonical() error {
	return fail(KindSignature, "The metadata has no canonical form, so its signature cannot be verified.")
}

// hashElement adds an element's canonical form to the digest and returns it, with the start and end tags around it.
func (s *selector) hashElement(raw []byte) ([]byte, error) {
	document, _, err := s.parse(raw)
	if err != nil {
		return nil, err
	}
	canonical, err := document.Canonical(nil, s.signed.PrefixList)
	if err != nil {
		return nil, errCanonical()
	}
	ends := s.endTags()
	if !bytes.HasPrefix(canonical, s.canonical) || !bytes.HasSuffix(canonical, ends) {
		return nil, errCanonical()
	}
	s.digest.Write(canonical[len(s.canonical) : len(canonical)-len(ends)])
	return canonical, nil
}
