package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/snapshot"
)

// chain makes a leaf and the authority that issued it.
func chain(t *testing.T) (leaf, authority identity) {
	t.Helper()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: testNow, NotAfter: testNow.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authority = issue(t, root, root, ecKey(t, "authority"), ecKey(t, "authority"))
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: testNow, NotAfter: testNow.AddDate(1, 0, 0)}
	return issue(t, template, authority.certificate, ecKey(t, "leaf"), ecKey(t, "authority")), authority
}

func TestPEMIsRead(t *testing.T) {
	one, two := signer(t, "old"), signer(t, "fresh")
	leaf, authority := chain(t)
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"one":               {one.pem(), "old"},
		"two":               {one.pem() + "\n" + two.pem(), "old fresh"},
		"text around":       {"subject=CN=old\r\n" + strings.ReplaceAll(one.pem(), "\n", "\r\n") + "end", "old"},
		"chain":             {leaf.pem() + authority.pem(), "leaf"},
		"chain, root first": {authority.pem() + leaf.pem(), "leaf"},
		"authority alone":   {authority.pem(), "authority"},
		"bare base64":       {one.base64(), "old"},
		"wrapped base64":    {one.base64()[:70] + "\n " + one.base64()[70:] + "\n", "old"},
	} {
		certificates, err := ParsePEM(c.text)
		var names []string
		for _, certificate := range certificates {
			names = append(names, certificate.Subject.CommonName)
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s: %v %v, want %s", name, names, err, c.want)
		}
	}
}

func TestPEMThatIsRefused(t *testing.T) {
	one := signer(t, "old")
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("secret-in-body")}))
	}
	for name, c := range map[string]struct{ text, says string }{
		"empty":                  {" \n", "is empty"},
		"no PEM":                 {"secret-in-body", "-----BEGIN CERTIFICATE-----"},
		"a private key":          {one.pem() + string(privatePEM(t, one.key)), "private key"},
		"a request":              {block("CERTIFICATE REQUEST"), "only CERTIFICATE"},
		"broken":                 {block("CERTIFICATE"), "block 1"},
		"broken after a good":    {one.pem() + block("CERTIFICATE"), "block 2"},
		"cut off":                {one.pem()[:200], "well-formed"},
		"cut off after a good":   {one.pem() + one.pem()[:200], "well-formed"},
		"too much":               {strings.Repeat("x", maxPEMBytes+1), "larger"},
		"too many":               {strings.Repeat(signerEC(t).pem(), maxPEMBlocks+1), "more than 64"},
		"a metadata file":        {standalone("https://idp.example.com", goodRole(one)), "not PEM"},
		"PEM with a broken line": {strings.Replace(one.pem(), "\nMII", "\n\nMI!", 1), "well-formed"},
	} {
		_, err := ParsePEM(c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
			continue
		}
		if strings.Contains(err.Error(), "secret-in-body") {
			t.Errorf("%s: the text is quoted: %v", name, err)
		}
	}
}

func TestCheckAuthorities(t *testing.T) {
	one := signer(t, "an authority")
	// RDS has more than a hundred in one bundle, with words between them.
	for name, good := range map[string]string{"one": one.pem(), "many, with words": strings.Repeat("# an authority\n"+signerEC(t).pem(), 150)} {
		if err := CheckAuthorities([]byte(good)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("secret-in-body")}))
	}
	for name, c := range map[string]struct{ text, says string }{
		"empty":                {"", "has no certificate in it"},
		"no PEM":               {"secret-in-body", "has no certificate in it"},
		"bare base64":          {one.base64(), "has no certificate in it"},
		"a request":            {block("CERTIFICATE REQUEST"), "has no certificate in it"},
		"a private key":        {one.pem() + string(privatePEM(t, one.key)), "private key"},
		"broken after a good":  {one.pem() + block("CERTIFICATE"), "certificate 2"},
		"cut off after a good": {one.pem() + one.pem()[:200], "well-formed"},
		"too large":            {strings.Repeat(one.pem(), 400), "is larger than 262144 bytes"},
	} {
		if err := CheckAuthorities([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret-in-body") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func signerEC(t *testing.T) identity {
	return certify(t, ecKey(t, "many"), "many", testNow, testNow.AddDate(1, 0, 0))
}

// A chain in metadata has one key that signs responses: an authority that could sign them too would let everybody in whom it certifies.
func TestAuthoritiesOfAChainAreNotTrusted(t *testing.T) {
	leaf, authority := chain(t)
	role := `<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + authority.base64() + `</ds:X509Certificate><ds:X509Certificate>` + leaf.base64() +
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>` + testSSO
	m := mustParse(t, standalone("https://idp.example.com", role), ParseOptions{})
	if len(m.Certificates) != 1 || m.Certificates[0].Subject != "CN=leaf" || len(m.Trust.SigningCertificates) != 1 {
		t.Errorf("certificates %+v", m.Certificates)
	}
	// In descriptors of their own they are two keys that the metadata names.
	m = mustParse(t, standalone("https://idp.example.com", goodRole(leaf, authority)), ParseOptions{})
	if len(m.Trust.SigningCertificates) != 2 {
		t.Errorf("certificates %+v", m.Certificates)
	}
}

func TestManualTrust(t *testing.T) {
	one, two := signer(t, "old"), signer(t, "fresh")
	m, err := ManualTrust("https://idp.example.com", "https://idp.example.com/sso", "POST", "https://idp.example.com/slo", []string{one.pem(), two.pem() + one.pem()})
	if err != nil {
		t.Fatal(err)
	}
	want := snapshot.Endpoint{Binding: snapshot.BindingPOST, URL: "https://idp.example.com/sso"}
	if m.Trust.SSO[0] != want || m.Trust.SLO[0].URL != "https://idp.example.com/slo" || len(m.Trust.SigningCertificates) != 2 || m.Digest == "" || len(m.Certificates) != 2 {
		t.Errorf("trust %+v", m.Trust)
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := certify(t, rsaKey(t, "weak", 1024), "weak", testNow, testNow.AddDate(1, 0, 0))
	type input struct {
		entityID, sso, binding, slo string
		pems                        []string
	}
	good := input{"https://idp.example.com", "https://idp.example.com/sso", "", "", []string{one.pem()}}
	change := func(f func(*input)) input {
		changed := good
		f(&changed)
		return changed
	}
	for says, c := range map[string]input{
		"entityID must":          change(func(i *input) { i.entityID = "" }),
		"without white space":    change(func(i *input) { i.entityID = "a b" }),
		"ssoURL must be https":   change(func(i *input) { i.sso = "http://idp.example.com/sso" }),
		"ssoURL is not":          change(func(i *input) { i.sso = "/sso" }),
		"ssoURL has a fragment":  change(func(i *input) { i.sso += "#x" }),
		"ssoBinding must":        change(func(i *input) { i.binding = "Artifact" }),
		"sloURL must be https":   change(func(i *input) { i.slo = "http://idp.example.com/slo" }),
		"certificates: write":    change(func(i *input) { i.pems = nil }),
		"certificates[1] is not": change(func(i *input) { i.pems = []string{one.pem(), "x"} }),
		"certificates[0]: The":   change(func(i *input) { i.pems = []string{weak.pem()} }),
	} {
		_, err := ManualTrust(c.entityID, c.sso, c.binding, c.slo, c.pems)
		if err == nil || !strings.Contains(err.Error(), says) || kindOf(err) == "" {
			t.Errorf("%q: %v", says, err)
		}
	}
}
