package trust

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Metadata of real products, as it lies in the tests of crewjam/saml.
func TestMetadataOfRealProducts(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/crewjam/saml").Output()
	if err != nil {
		t.Fatal(err)
	}
	corpus := strings.TrimSpace(string(out))
	for file, want := range map[string]struct {
		entityID string
		sso, slo int
		keys     int
		kind     Kind
	}{
		"testdata/TestSPCanHandleOktaSignedResponseEncryptedAssertion_IDPMetadata": {"http://www.okta.com/exkppsa1qwuFV4D7z0h7", 2, 0, 1, ""},
		"testdata/TestSPCanHandleOneloginResponse_IDPMetadata":                     {"https://app.onelogin.com/saml/metadata/503983", 1, 0, 1, ""},
		"testdata/TestSPCanHandlePlaintextResponse_IDPMetadata":                    {"https://accounts.google.com/o/saml2?idpid=C02dfl1r1", 1, 0, 1, ""},
		"testdata/TestGetArtifactBindingLocation_IDPMetadata":                      {"https://samltest.id/saml/idp", 2, 2, 2, ""},
		"samlsp/testdata/testshib_metadata.xml":                                    {"https://idp.testshib.org/idp/shibboleth", 2, 0, 1, ""},
		// A key of 1024 bits, and metadata of service providers.
		"testdata/TestServiceProviderCanHandleSignedAssertionsResponse_IDPMetadata": {kind: KindNoSigningKey},
		"samlidp/testdata/sp_metadata.xml":                                          {kind: KindNoIDPSSODescriptor},
		"testdata/TestCanParseMetadata_metadata.xml":                                {kind: KindNoIDPSSODescriptor},
	} {
		document, err := os.Open(filepath.Join(corpus, file))
		if err != nil {
			t.Fatal(err)
		}
		// Some of it expired long ago.
		m, err := ParseMetadata(document, ParseOptions{Now: time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)})
		_ = document.Close()
		if kindOf(err) != want.kind {
			t.Errorf("%s: %v, want %q", file, err, want.kind)
		}
		if err == nil && (m.Trust.EntityID != want.entityID || len(m.Trust.SSO) != want.sso || len(m.Trust.SLO) != want.slo || len(m.Trust.SigningCertificates) != want.keys) {
			t.Errorf("%s: %s with %d SSO and %d SLO endpoints and %d signing keys", file, m.Trust.EntityID, len(m.Trust.SSO), len(m.Trust.SLO), len(m.Trust.SigningCertificates))
		}
	}
}
