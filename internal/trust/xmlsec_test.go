package trust

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// signWithXMLSec signs a document with xmlsec1, the tool that federations sign with, where the document has a Signature template.
func signWithXMLSec(t *testing.T, document string, by identity) string {
	t.Helper()
	dir := t.TempDir()
	in, key, out := filepath.Join(dir, "in.xml"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "out.xml")
	for file, content := range map[string][]byte{in: []byte(document), key: privatePEM(t, by.key)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command("xmlsec1", "--sign", "--privkey-pem", key, "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:metadata:EntitiesDescriptor",
		"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor", "--output", out, in)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("xmlsec1 (Debian: apt install xmlsec1): %v\n%s", err, output)
	}
	signed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func signatureTemplate(id, prefixList string) string {
	inclusive := ""
	if prefixList != "" {
		inclusive = `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="` + prefixList + `"/>`
	}
	c14n := ` Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">` + inclusive + `</ds:`
	return `<ds:Signature><ds:SignedInfo><ds:CanonicalizationMethod` + c14n + `CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#` + id + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform` + c14n + `Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>`
}

// What xmlsec1 signs is verified piece by piece all the same: namespaces, white space, escapes and prefix lists included.
func TestAggregatesSignedByXMLSec(t *testing.T) {
	k, by, other := signer(t, "old"), signer(t, "federation"), signer(t, "other")
	for _, prefixList := range []string{"", "xs", "xs md #default"} {
		document := xmlHead + `<md:EntitiesDescriptor ` + names + ` xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:unused="urn:unused" Name="a &amp; &quot;b&quot; &#xA;c" ID="_root">` + "\n\t" +
			signatureTemplate("_root", prefixList) + "\r\n  <!-- left out -->" +
			`<md:Extensions xmlns:alg="urn:alg"><alg:Digest b:z="1" xmlns:b="urn:b" a:z="2" xmlns:a="urn:a" y='>'/></md:Extensions>` + "\n" +
			`<md:EntitiesDescriptor xmlns:inner="urn:inner" inner:x="1">` + entity("https://a.example.com", `xmlns:xs="urn:other"`, goodRole(other)) + ` </md:EntitiesDescriptor>` +
			entity("https://idp.example.com", ``, `<md:Extensions><x xmlns="urn:x">`+"a\r\n&lt;b&gt; \u00fc <![CDATA[<c>]]>"+`</x></md:Extensions>`+goodRole(k)) + "\n" + `</md:EntitiesDescriptor>` + "\n"
		signed := signWithXMLSec(t, document, by)
		o := pinned(by)
		o.EntityID = "https://idp.example.com"
		if m := mustParse(t, signed, o); len(m.Certificates) != 1 || m.Certificates[0].Subject != "CN=old" {
			t.Errorf("prefix list %q: %+v", prefixList, m.Certificates)
		}
		if _, err := parseString(strings.Replace(signed, "https://a.example.com", "https://b.example.com", 1), o); kindOf(err) != KindSignature {
			t.Errorf("prefix list %q, changed: %v", prefixList, err)
		}
	}
	single := strings.Replace(entity("https://idp.example.com", names+` ID="_e"`, goodRole(k)), ">", ">"+signatureTemplate("_e", ""), 1)
	mustParse(t, signWithXMLSec(t, single, by), pinned(by))
}
