package simplesamlphp

import (
	"encoding/xml"
	"testing"

	"github.com/crewjam/saml"
)

func TestPublishesMetadataAndRotatesItsKey(t *testing.T) {
	idp := Start(t, "")
	before := signingCertificates(t, idp)
	if len(before) != 1 {
		t.Fatalf("the metadata holds %d signing certificates, want 1", len(before))
	}

	idp.PublishNextKey()
	during := signingCertificates(t, idp)
	if len(during) != 2 {
		t.Fatalf("with a next key the metadata holds %d signing certificates, want 2", len(during))
	}

	idp.SwitchKey()
	after := signingCertificates(t, idp)
	if len(after) != 1 || after[only(before)] {
		t.Fatalf("after the switch the metadata holds %d signing certificates, and the old one is among them: %t", len(after), after[only(before)])
	}
	if !during[only(after)] {
		t.Error("the certificate after the switch is not the one that was announced")
	}
}

func signingCertificates(t *testing.T, idp *IdP) map[string]bool {
	t.Helper()
	var entity saml.EntityDescriptor
	if err := xml.Unmarshal(idp.Metadata(), &entity); err != nil {
		t.Fatal(err)
	}
	if entity.EntityID != idp.EntityID() {
		t.Fatalf("entity ID %q, want %q", entity.EntityID, idp.EntityID())
	}
	found := map[string]bool{}
	for _, key := range entity.IDPSSODescriptors[0].KeyDescriptors {
		if key.Use != "encryption" {
			found[key.KeyInfo.X509Data.X509Certificates[0].Data] = true
		}
	}
	return found
}

// only returns the single element of the set.
func only(set map[string]bool) string {
	for key := range set {
		return key
	}
	return ""
}
