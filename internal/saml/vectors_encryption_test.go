package saml

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
	"sallyport.dev/sallyport/internal/snapshot"
)

const (
	sha1URI   = "http://www.w3.org/2000/09/xmldsig#sha1"
	sha256URI = "http://www.w3.org/2001/04/xmlenc#sha256"
	sha384URI = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	sha512URI = "http://www.w3.org/2001/04/xmlenc#sha512"
	mgf1      = "http://www.w3.org/2009/xmlenc11#mgf1"
)

// encrypted encrypts the assertion to our current key.
func encrypted(o xmlenc.Options) func(*samltest.Response) {
	return func(r *samltest.Response) {
		r.EncryptTo, r.Encryption = []*rsa.PublicKey{public(shared().current)}, o
	}
}

func wasEncrypted(t *testing.T, a *Assertion) {
	if !a.Encrypted || a.NameID.Value != "alice@example.com" || len(a.Attributes) != 2 {
		t.Errorf("read %+v", a)
	}
}

// algorithmVectors are every combination that must decrypt.
func algorithmVectors() []vector {
	var out []vector
	add := func(name string, sign func(*samltest.Response), o xmlenc.Options) {
		out = append(out, vector{rule: 5, class: 28, name: name, edit: both(sign, encrypted(o)), verify: wasEncrypted})
	}
	assertion := func(*samltest.Response) {}
	for _, alg := range []string{xmlenc.AES128GCM, xmlenc.AES192GCM, xmlenc.AES256GCM} {
		add(short(alg), assertion, xmlenc.Options{Block: alg})
	}
	for _, alg := range []string{xmlenc.AES128CBC, xmlenc.AES192CBC, xmlenc.AES256CBC} {
		add(short(alg)+" in a signed Response", signResponse, xmlenc.Options{Block: alg})
	}
	for _, digest := range []string{"", sha1URI, sha256URI, sha384URI, "http://www.w3.org/2001/04/xmlenc#sha384", sha512URI} {
		add("rsa-oaep-mgf1p with digest "+short(digest), assertion, xmlenc.Options{Transport: xmlenc.OAEPMGF1P, Digest: digest})
		for _, mask := range []string{"", mgf1 + "sha1", mgf1 + "sha256", mgf1 + "sha384", mgf1 + "sha512"} {
			add("rsa-oaep with digest "+short(digest)+" and mask "+short(mask), assertion, xmlenc.Options{Transport: xmlenc.OAEP, Digest: digest, Mask: mask})
		}
	}
	add("OAEP label", assertion, xmlenc.Options{Label: []byte("label")})
	add("key beside the data", assertion, xmlenc.Options{Beside: true})
	return out
}

func short(uri string) string {
	if uri == "" {
		return "default"
	}
	return uri[strings.LastIndexByte(uri, '#')+1:]
}

// cipherText replaces the n-th CipherValue; 0 is the wrapped key, 1 the data.
func cipherText(n int, change func([]byte) []byte) func(*samltest.Response) {
	return sent(func(s string) string {
		from := 0
		for range n {
			from += strings.Index(s[from:], "<xenc:CipherValue>") + 1
		}
		old := between(s[from:], "<xenc:CipherValue>", "</xenc:CipherValue>")
		value := strings.TrimSuffix(strings.TrimPrefix(old, "<xenc:CipherValue>"), "</xenc:CipherValue>")
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			panic(err)
		}
		return strings.Replace(s, value, base64.StdEncoding.EncodeToString(change(raw)), 1)
	})
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
}

func keep(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

func encryptionVectors() []vector {
	gcm := encrypted(xmlenc.Options{})
	cbc := encrypted(xmlenc.Options{Block: xmlenc.AES128CBC})
	requireEncryption := func(f *fixture) { f.conf.Response.RequireEncryption = true }
	failed := func(name string, edit func(*samltest.Response)) vector {
		return vector{rule: 5, class: 27, name: name, want: ReasonDecryptionFailed, check: CheckEncryption, says: sentenceDecryption, edit: edit}
	}
	refusedAlgorithm := func(name string, edits ...func(*samltest.Response)) vector {
		return vector{rule: 5, class: 28, name: name, want: ReasonAlgorithmRefused, check: CheckEncryption, edit: both(edits...)}
	}
	malformed := func(name string, edits ...func(*samltest.Response)) vector {
		return vector{rule: 5, class: 28, name: name, want: ReasonMalformed, check: CheckEncryption, edit: both(edits...)}
	}
	list := []vector{
		{rule: 5, class: 28, name: "encryption required and used", setup: requireEncryption, needsEdit: true, edit: gcm, verify: wasEncrypted},
		{rule: 5, class: 28, name: "encryption required, plain assertion", want: ReasonDecryptionFailed, check: CheckEncryption, says: "not encrypted", after: requireEncryption},
		{rule: 5, class: 30, name: "encrypted to the previous key", verify: wasEncrypted, edit: func(r *samltest.Response) { r.EncryptTo = []*rsa.PublicKey{public(shared().previous)} }},
		{rule: 5, class: 30, name: "encrypted to a key of somebody else and to ours", verify: wasEncrypted, edit: func(r *samltest.Response) {
			r.EncryptTo = []*rsa.PublicKey{public(shared().next), public(shared().current)}
		}},
		failed("encrypted to a key that is not ours", func(r *samltest.Response) { r.EncryptTo = []*rsa.PublicKey{public(shared().next)} }),
		{rule: 5, class: 28, name: "no key of ours", want: ReasonDecryptionFailed, check: CheckEncryption, edit: gcm, after: func(f *fixture) {
			f.conf.Keys = []snapshot.SPKey{shared().next}
		}},
		failed("wrapped key changed", both(gcm, cipherText(0, flip(7)))),
		failed("wrapped key too short", both(gcm, cipherText(0, keep(17)))),
		failed("wrapped key empty", both(gcm, cipherText(0, keep(0)))),
		failed("GCM tag changed", both(gcm, cipherText(1, flip(-1)))),
		failed("GCM nonce changed", both(gcm, cipherText(1, flip(0)))),
		failed("GCM ciphertext of 3 bytes", both(gcm, cipherText(1, keep(3)))),
		failed("GCM ciphertext of 27 bytes", both(gcm, cipherText(1, keep(27)))),
		failed("GCM ciphertext empty", both(gcm, cipherText(1, keep(0)))),
		failed("CBC ciphertext of 20 bytes in a signed Response", both(signResponse, cbc, inResponseCipher(keep(20)))),
		failed("CBC ciphertext of 16 bytes in a signed Response", both(signResponse, cbc, inResponseCipher(keep(16)))),
		failed("CBC padding changed in a signed Response", both(signResponse, cbc, inResponseCipher(flip(-17)))),
		failed("session key of another length", both(gcm, sent(replace("xmlenc11#aes256-gcm", "xmlenc11#aes128-gcm")))),
		failed("OAEP digest changed", both(encrypted(xmlenc.Options{Transport: xmlenc.OAEPMGF1P, Digest: sha256URI}), sent(replace(`Algorithm="`+sha256URI+`"/></xenc:EncryptionMethod>`, `Algorithm="`+sha1URI+`"/></xenc:EncryptionMethod>`)))),
		failed("plaintext is not an assertion", encryptedTwin(func(a, _ string) string { return "<hello/>" })),
		failed("plaintext is a NameID", encryptedTwin(func(a, _ string) string {
			return `<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">mallory</saml:NameID>`
		})),
		failed("plaintext has a DOCTYPE", encryptedTwin(func(a, _ string) string { return "<!DOCTYPE a>" + a })),
		failed("plaintext is not XML", encryptedTwin(func(string, string) string { return "\x00\x01\x02" })),
		failed("plaintext is a bomb", encryptedTwin(func(string, string) string { return strings.Repeat("<a>", 100) })),
		refusedAlgorithm("AES-128-CBC in an unsigned Response", cbc),
		refusedAlgorithm("AES-256-CBC in an unsigned Response", encrypted(xmlenc.Options{Block: xmlenc.AES256CBC})),
		refusedAlgorithm("rsa-1_5", signBoth, gcm, inResponse(replace("xmlenc11#rsa-oaep", "xmlenc#rsa-1_5")), inResponse(func(s string) string {
			return strings.Replace(s, "http://www.w3.org/2009/xmlenc11#rsa-oaep", "http://www.w3.org/2001/04/xmlenc#rsa-1_5", 1)
		})),
		refusedAlgorithm("3DES", signBoth, gcm, inResponse(replace("http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"))),
		refusedAlgorithm("no data algorithm", gcm, sent(replace(`Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"`, ``))),
		refusedAlgorithm("unknown OAEP digest", gcm, sent(replace(`Algorithm="`+sha256URI+`"/><xenc11`, `Algorithm="urn:md5"/><xenc11`))),
		refusedAlgorithm("unknown mask", gcm, sent(replace(mgf1+"sha256", mgf1+"md5"))),
		malformed("no EncryptedKey", gcm, sent(func(s string) string { return replace(between(s, "<xenc:EncryptedKey", "</xenc:EncryptedKey>"), "")(s) })),
		malformed("five EncryptedKeys", gcm, sent(func(s string) string {
			k := between(s, "<xenc:EncryptedKey", "</xenc:EncryptedKey>")
			return replace(k, strings.Repeat(k, 5))(s)
		})),
		malformed("no EncryptedData", sent(func(s string) string { return replace(assertionOf(s), "<saml:EncryptedAssertion/>")(s) })),
		malformed("two EncryptedData", gcm, sent(func(s string) string {
			d := between(s, "<xenc:EncryptedData", "</xenc:EncryptedData>")
			return replace(d, d+d)(s)
		})),
		malformed("data of type Content", gcm, sent(replace(`Type="http://www.w3.org/2001/04/xmlenc#Element"`, `Type="http://www.w3.org/2001/04/xmlenc#Content"`))),
		malformed("CipherReference instead of CipherValue", gcm, sent(func(s string) string {
			v := between(s[strings.LastIndex(s, "<xenc:CipherValue>"):], "<xenc:CipherValue>", "</xenc:CipherValue>")
			return replace(v, `<xenc:CipherReference URI="https://victim.example/"/>`)(s)
		})),
		malformed("ciphertext is not base64", gcm, sent(replace("<xenc:CipherValue>", "<xenc:CipherValue>!"))),
		malformed("no EncryptionMethod", gcm, sent(func(s string) string {
			return replace(between(s, `<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"`, "/>"), "")(s)
		})),
	}
	return slices.Concat(algorithmVectors(), list, partVectors(), contextVectors())
}

// outside encrypts the assertion without its namespace declarations, which go to the Response. SAML's elements in it get the prefix.
func outside(prefix string) func(string) string {
	return func(s string) string {
		const schema = ` xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
		const saml = ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
		a := assertionOf(s)
		plain := strings.NewReplacer("<saml:", "<"+prefix+":", "</saml:", "</"+prefix+":").Replace(replace(saml+schema, "")(a))
		data, err := xmlenc.Encrypt([]byte(plain), []*rsa.PublicKey{public(shared().current)}, xmlenc.Options{})
		if err != nil {
			panic(err)
		}
		declared := schema
		if prefix != "saml" { // which the Response declares anyway
			declared += strings.Replace(saml, "saml", prefix, 1)
		}
		s = replace(a, "<saml:EncryptedAssertion>"+string(data)+"</saml:EncryptedAssertion>")(s)
		return replace("<samlp:Response ", "<samlp:Response"+declared+" ")(s)
	}
}

// contextVectors are plaintexts that use namespace declarations from outside of the ciphertext, as xmlsec1 writes them.
func contextVectors() []vector {
	return []vector{
		{rule: 5, class: 26, name: "encrypted: namespaces declared outside, assertion signed", edit: sent(outside("saml")), verify: wasEncrypted},
		{rule: 5, class: 26, name: "encrypted: namespaces declared outside, response signed", edit: both(signResponse, inResponse(outside("saml"))), verify: wasEncrypted},
		{rule: 5, class: 26, name: "encrypted: namespaces declared outside, both signed", edit: both(func(r *samltest.Response) { r.SignAssertion = true }, signResponse, inResponse(outside("saml"))), verify: wasEncrypted},
		{rule: 5, class: 29, name: "encrypted: SAML's namespace under a prefix that nobody signed", want: ReasonDecryptionFailed, check: CheckEncryption,
			edit: both(signResponse, inResponse(outside("q")))},
		{rule: 5, class: 29, name: "encrypted: meaning of a prefix changed after the response was signed", want: ReasonDecryptionFailed, check: CheckEncryption,
			edit: both(signResponse, inResponse(outside("q")), sent(replace(` xmlns:q="urn:oasis:names:tc:SAML:2.0:assertion"`, ` xmlns:q="urn:evil"`)))},
	}
}

// inResponseCipher changes the data's ciphertext before the Response is signed.
func inResponseCipher(change func([]byte) []byte) func(*samltest.Response) {
	return func(r *samltest.Response) {
		var other samltest.Response
		cipherText(1, change)(&other)
		r.EditResponse = other.EditSent
	}
}

// part encrypts one element inside of the assertion.
func part(wrapper, start, end string, o xmlenc.Options, change func(string) string) func(*samltest.Response) {
	return inAssertion(func(s string) string {
		element := between(s, start, end)
		plain := strings.Replace(element, start, start+` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" `, 1)
		if change != nil {
			plain = change(plain)
		}
		data, err := xmlenc.Encrypt([]byte(plain), []*rsa.PublicKey{public(shared().current)}, o)
		if err != nil {
			panic(err)
		}
		return replace(element, "<saml:"+wrapper+">"+string(data)+"</saml:"+wrapper+">")(s)
	})
}

// partVectors are EncryptedID and EncryptedAttribute.
func partVectors() []vector {
	id := func(o xmlenc.Options, change func(string) string) func(*samltest.Response) {
		return part("EncryptedID", "<saml:NameID", "</saml:NameID>", o, change)
	}
	attribute := func(o xmlenc.Options, change func(string) string) func(*samltest.Response) {
		return part("EncryptedAttribute", "<saml:Attribute ", "</saml:Attribute>", o, change)
	}
	cbc := xmlenc.Options{Block: xmlenc.AES128CBC}
	read := func(t *testing.T, a *Assertion) {
		if a.NameID.Value != "alice@example.com" || fmt.Sprint(a.Values()) != "map[email:[alice@example.com] groups:[dev ml-team]]" {
			t.Errorf("read %+v", a)
		}
	}
	return []vector{
		{rule: 5, class: 28, name: "EncryptedID", edit: id(xmlenc.Options{}, nil), verify: read},
		{rule: 5, class: 28, name: "EncryptedID with the key beside", edit: id(xmlenc.Options{Beside: true}, nil), verify: read},
		{rule: 5, class: 28, name: "EncryptedAttribute", edit: attribute(xmlenc.Options{}, nil), verify: read},
		{rule: 5, class: 28, name: "EncryptedID in an encrypted assertion", edit: both(encrypted(xmlenc.Options{}), id(xmlenc.Options{}, nil)), verify: read},
		{rule: 5, class: 27, name: "EncryptedID with CBC in a signed Response", edit: both(signBoth, id(cbc, nil)), verify: read},
		{rule: 5, class: 27, name: "EncryptedID with CBC in an unsigned Response", want: ReasonAlgorithmRefused, check: CheckEncryption, edit: id(cbc, nil)},
		{rule: 5, class: 27, name: "EncryptedAttribute with CBC in an unsigned Response", want: ReasonAlgorithmRefused, check: CheckEncryption, edit: attribute(cbc, nil)},
		{rule: 5, class: 28, name: "EncryptedID that holds something else", want: ReasonDecryptionFailed, check: CheckEncryption,
			edit: id(xmlenc.Options{}, func(s string) string { return strings.ReplaceAll(s, "saml:NameID", "saml:BaseID") })},
		{rule: 5, class: 28, name: "EncryptedID with an empty NameID", want: ReasonMalformed, check: CheckSubject,
			edit: id(xmlenc.Options{}, replace("alice@example.com", ""))},
		{rule: 5, class: 28, name: "EncryptedID beside NameID", want: ReasonMalformed, check: CheckSubject, edit: inAssertion(func(s string) string {
			return replace("</saml:NameID>", "</saml:NameID><saml:EncryptedID/>")(s)
		})},
		{rule: 5, class: 28, name: "EncryptedAttribute that holds something else", want: ReasonDecryptionFailed, check: CheckEncryption,
			edit: attribute(xmlenc.Options{}, func(s string) string {
				return strings.ReplaceAll(strings.ReplaceAll(s, "<saml:Attribute ", "<saml:Odd "), "</saml:Attribute>", "</saml:Odd>")
			})},
	}
}
