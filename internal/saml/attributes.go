package saml

import (
	"fmt"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// readAttributes reads every AttributeStatement of the verified assertion.
func (a *acceptance) readAttributes() *Refusal {
	defer a.begin(PhaseReadClaims)()
	for s := a.assertion.First; s != nil; s = s.Next {
		if !s.Is(nsAssertion, "AttributeStatement") {
			continue
		}
		for at := s.First; at != nil; at = at.Next {
			switch {
			case at.Is(nsAssertion, "Attribute"):
				a.out.Attributes = append(a.out.Attributes, toAttribute(at))
			case at.Is(nsAssertion, "EncryptedAttribute"):
				plaintext, r := a.decryptElement(at, a.responseSigned)
				if r != nil {
					return r
				}
				plain, r := a.parseDecrypted(plaintext, at.Scope(), "Attribute")
				if r != nil {
					return r
				}
				a.out.Attributes = append(a.out.Attributes, toAttribute(plain))
			default:
				return a.refuse(ReasonMalformed, CheckShape, "Attribute", clip(at.Local), fmt.Sprintf("The attribute statement has an unknown element %q.", clip(at.Local)))
			}
		}
	}
	return nil
}

func toAttribute(n *xmldoc.Node) Attribute {
	at := Attribute{Name: n.Value("Name"), FriendlyName: n.Value("FriendlyName"), NameFormat: n.Value("NameFormat")}
	count := 0
	for v := n.First; v != nil; v = v.Next {
		count++
	}
	if count > 0 {
		at.Values = make([]string, 0, count)
	}
	for v := n.First; v != nil; v = v.Next {
		if s, ok := valueText(v); ok {
			at.Values = append(at.Values, s)
		}
	}
	return at
}

// valueText is the text of an AttributeValue, or of the one NameID in it (eduPersonTargetedID); nil values have none.
func valueText(v *xmldoc.Node) (string, bool) {
	if !v.Is(nsAssertion, "AttributeValue") {
		return "", false
	}
	for i := range v.Attrs {
		if at := &v.Attrs[i]; at.Space == nsXSI && at.Local == "nil" && (at.Value == "true" || at.Value == "1") {
			return "", false
		}
	}
	if v.First == nil {
		return v.Text, true
	}
	if id := v.First; id.Is(nsAssertion, "NameID") && id.Next == nil && id.First == nil {
		return id.Text, true
	}
	return "", false
}
