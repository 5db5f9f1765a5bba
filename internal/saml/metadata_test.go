package saml

import (
	"encoding/base64"
	"strings"
	"testing"

	crewjam "github.com/crewjam/saml"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/snapshot"
)

// readMetadata reads our metadata with crewjam's types.
func readMetadata(t *testing.T, f *fixture) (*crewjam.EntityDescriptor, crewjam.SPSSODescriptor, string) {
	t.Helper()
	xml, err := f.connection().Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := xmldoc.Parse(xml, xmldoc.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	var e crewjam.EntityDescriptor
	if err := unmarshalXML(xml, &e); err != nil {
		t.Fatal(err)
	}
	if len(e.SPSSODescriptors) != 1 {
		t.Fatalf("%d descriptors", len(e.SPSSODescriptors))
	}
	return &e, e.SPSSODescriptors[0], string(xml)
}

func TestMetadata(t *testing.T) {
	f := newFixture(t)
	e, sp, xml := readMetadata(t, f)
	if e.EntityID != f.conf.EntityID || !*sp.AuthnRequestsSigned || !*sp.WantAssertionsSigned || sp.ProtocolSupportEnumeration != nsProtocol {
		t.Errorf("%s", xml)
	}
	if len(sp.AssertionConsumerServices) != 1 || sp.AssertionConsumerServices[0].Binding != snapshot.BindingPOST || sp.AssertionConsumerServices[0].Location != f.conf.ACSURL {
		t.Errorf("assertion consumer services %+v", sp.AssertionConsumerServices)
	}
	if len(sp.SingleLogoutServices) != 2 || sp.SingleLogoutServices[0].Binding != snapshot.BindingRedirect || sp.SingleLogoutServices[1].Binding != snapshot.BindingPOST || sp.SingleLogoutServices[0].Location != f.conf.SLOURL {
		t.Errorf("single logout services %+v", sp.SingleLogoutServices)
	}
	if strings.Contains(xml, "validUntil") || strings.Contains(xml, "Artifact") {
		t.Errorf("%s", xml)
	}
}

func TestMetadataKeys(t *testing.T) {
	_, sp, _ := readMetadata(t, newFixture(t))
	m := shared()
	want := []struct {
		use string
		key snapshot.SPKey
	}{{"signing", m.current}, {"signing", m.next}, {"encryption", m.current}, {"encryption", m.previous}}
	if len(sp.KeyDescriptors) != len(want) {
		t.Fatalf("%d key descriptors", len(sp.KeyDescriptors))
	}
	for i, w := range want {
		d := sp.KeyDescriptors[i]
		if d.Use != w.use || d.KeyInfo.X509Data.X509Certificates[0].Data != base64.StdEncoding.EncodeToString(w.key.Certificate) {
			t.Errorf("key descriptor %d is %s of another key", i, d.Use)
		}
		if w.use == "signing" {
			continue
		}
		cbc := false
		for _, m := range d.EncryptionMethods {
			isGCM := strings.HasSuffix(m.Algorithm, "-gcm")
			if isGCM && cbc {
				t.Error("GCM comes after CBC")
			}
			cbc = cbc || strings.HasSuffix(m.Algorithm, "-cbc")
			if strings.Contains(m.Algorithm, "rsa-1_5") || strings.Contains(m.Algorithm, "tripledes") {
				t.Errorf("%s is offered", m.Algorithm)
			}
		}
		if len(d.EncryptionMethods) != 8 {
			t.Errorf("%d encryption methods", len(d.EncryptionMethods))
		}
	}
}

func TestMetadataFollowsThePolicy(t *testing.T) {
	f := newFixture(t)
	f.conf.Logout.Enabled, f.conf.Request.Sign, f.conf.Request.NameIDFormat = false, false, identity.FormatEmailAddress
	f.conf.Trust = nil
	_, sp, _ := readMetadata(t, f)
	if len(sp.SingleLogoutServices) != 0 || *sp.AuthnRequestsSigned || len(sp.NameIDFormats) != 1 || sp.NameIDFormats[0] != crewjam.EmailAddressNameIDFormat {
		t.Errorf("%+v", sp)
	}
}

func TestMetadataRequestsTheMappedAttributes(t *testing.T) {
	f := newFixture(t)
	const oid = "urn:oid:0.9.2342.19200300.100.1.3"
	const claim = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname"
	f.conf.Mapping = snapshot.Mapping{
		Email:     []snapshot.AttributeSource{{Name: "email"}, {Name: oid}, {NameID: "EmailAddress"}},
		FirstName: []snapshot.AttributeSource{{Name: claim}},
		Groups:    snapshot.GroupsMapping{From: []snapshot.AttributeSource{{Name: `gr"oups & more`}}},
		Profile:   []snapshot.ProfileMapping{{Attribute: "department", From: []snapshot.AttributeSource{{Name: "department"}, {Name: "email"}}}},
	}
	_, sp, xml := readMetadata(t, f)
	if len(sp.AttributeConsumingServices) != 1 || sp.AttributeConsumingServices[0].ServiceNames[0].Value != "Acme" {
		t.Fatalf("%s", xml)
	}
	var got []string
	for _, a := range sp.AttributeConsumingServices[0].RequestedAttributes {
		got = append(got, a.Name+" "+a.NameFormat[strings.LastIndexByte(a.NameFormat, ':')+1:])
	}
	want := "email unspecified|" + oid + " uri|" + claim + ` uri|gr"oups & more unspecified|department unspecified`
	if strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", strings.Join(got, "|"), want)
	}
}

// TestFaultF3ClaimsAreRequestedByTheirNames holds what others have swapped: Name is the claim, for people there is no other name, and the e-mail address is required.
func TestFaultF3ClaimsAreRequestedByTheirNames(t *testing.T) {
	f := newFixture(t)
	f.conf.Mapping = identity.Preset("EntraID")
	_, sp, xml := readMetadata(t, f)
	if len(sp.AttributeConsumingServices) != 1 {
		t.Fatalf("%s", xml)
	}
	const claims = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	for i, want := range []string{claims + "emailaddress", claims + "givenname", claims + "surname", "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"} {
		got := sp.AttributeConsumingServices[0].RequestedAttributes[i]
		required := got.IsRequired != nil && *got.IsRequired
		if got.Name != want || got.FriendlyName == want || required != (i == 0) {
			t.Errorf("requested is %+v, want Name %s, required %v", got, want, i == 0)
		}
	}
}
