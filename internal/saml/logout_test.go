package saml

import (
	"crypto/rsa"
	"encoding/xml"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
	"sallyport.dev/sallyport/internal/snapshot"
)

func unmarshalXML(b []byte, v any) error { return xml.Unmarshal(b, v) }

// logoutVector is one message to the single logout URL.
type logoutVector struct {
	name string
	// response sends a LogoutResponse; otherwise it is a LogoutRequest.
	response bool
	setup    func(*fixture)
	edit     func(*samltest.Logout)
	// wire changes the query or the form value; redirect and post say which binding the vector is about, both when neither is set.
	redirect, post func(string) string
	after          func(*fixture)
	want           Reason
	check          Check
}

func xmlEdit(edit func(string) string) func(*samltest.Logout) {
	return func(l *samltest.Logout) { l.Edit = edit }
}

// param changes one parameter of a query, without encoding it again.
func param(name string, change func(string) string) func(string) string {
	return func(query string) string {
		pairs := strings.Split(query, "&")
		for i, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				pairs[i] = k + "=" + change(v)
			}
		}
		return strings.Join(pairs, "&")
	}
}

var logoutVectors = []logoutVector{
	{name: "request"},
	{name: "response", response: true},
	{name: "unsigned request", edit: func(l *samltest.Logout) { l.Unsigned = true }, want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "unsigned response", response: true, edit: func(l *samltest.Logout) { l.Unsigned = true }, want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "signed by another IdP", want: ReasonSignatureInvalid, check: CheckSignature, redirect: func(q string) string { return q },
		setup: func(f *fixture) { o := *shared().other; o.EntityID = shared().idp.EntityID; f.idp = &o }},
	{name: "signed by another IdP, with its certificate", want: ReasonCertificateMismatch, check: CheckSignature, post: func(v string) string { return v },
		setup: func(f *fixture) { o := *shared().other; o.EntityID = shared().idp.EntityID; f.idp = &o }},
	{name: "signed with RSA-SHA1", edit: func(l *samltest.Logout) { l.Method = xmldsig.RSASHA1 }, want: ReasonAlgorithmRefused, check: CheckSignature},
	{name: "signed with RSA-SHA1 by opt-in", setup: func(f *fixture) { f.conf.Response.AllowSHA1 = true }, edit: func(l *samltest.Logout) { l.Method = xmldsig.RSASHA1 }},
	{name: "signed with RSA-SHA512", edit: func(l *samltest.Logout) { l.Method = xmldsig.RSASHA512 }},
	{name: "signed with ECDSA", setup: idpWith(p256)},
	{name: "for another URL", edit: func(l *samltest.Logout) { l.Destination = "https://victim.example/slo" }, want: ReasonRecipientMismatch, check: CheckDestination},
	{name: "without Destination", edit: xmlEdit(replace(` Destination="https://sso.example.com/saml/okta/slo"`, "")), want: ReasonRecipientMismatch, check: CheckDestination},
	{name: "of another issuer", edit: xmlEdit(replace("https://idp.example.com/metadata", "https://evil.example")), want: ReasonIssuerMismatch, check: CheckIssuer},
	{name: "without Issuer", edit: xmlEdit(replace("<saml:Issuer>https://idp.example.com/metadata</saml:Issuer>", "")), want: ReasonIssuerMismatch, check: CheckIssuer,
		redirect: func(q string) string { return q }},
	{name: "version 1.1", edit: xmlEdit(replace(`Version="2.0"`, `Version="1.1"`)), want: ReasonMalformed, check: CheckVersion},
	{name: "without ID", edit: xmlEdit(func(s string) string { return replace(between(s, ` ID="`, `"`), "")(s) }), want: ReasonMalformed, check: CheckShape, redirect: func(q string) string { return q }},
	{name: "from the future, at the skew", after: at(-time.Minute)},
	{name: "from the future", after: at(-61 * time.Second), want: ReasonNotYetValid, check: CheckIssueInstant},
	{name: "the last second", after: at(6*time.Minute - time.Second)},
	{name: "expired", after: at(6 * time.Minute), want: ReasonExpired, check: CheckNotOnOrAfter},
	{name: "without expiry, fresh", edit: func(l *samltest.Logout) { l.NoExpiry = true }, after: at(5 * time.Minute)},
	{name: "without expiry, old", edit: func(l *samltest.Logout) { l.NoExpiry = true }, after: at(6 * time.Minute), want: ReasonExpired, check: CheckNotOnOrAfter},
	{name: "expiry that is no time", edit: xmlEdit(replace(`NotOnOrAfter="2026`, `NotOnOrAfter="x`)), want: ReasonMalformed, check: CheckNotOnOrAfter},
	{name: "without NameID", edit: xmlEdit(func(s string) string { return replace(between(s, "<saml:NameID", "</saml:NameID>"), "")(s) }), want: ReasonMalformed, check: CheckSubject},
	{name: "single logout disabled", after: func(f *fixture) { f.conf.Logout.Enabled = false }, want: ReasonIdPDisabled, check: CheckPolicy},
	{name: "trust not established", after: func(f *fixture) { f.conf.Trust = nil }, want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "response as a request", edit: xmlEdit(func(s string) string { return strings.ReplaceAll(s, "samlp:LogoutRequest", "samlp:Response") }), want: ReasonMalformed, check: CheckShape},
	{name: "answers another request", response: true, edit: func(l *samltest.Logout) { l.InResponseTo = "_other" }, want: ReasonInResponseToMismatch, check: CheckInResponseTo},
	{name: "answers nothing", response: true, edit: func(l *samltest.Logout) { l.InResponseTo = "" }, want: ReasonInResponseToMismatch, check: CheckInResponseTo},
	{name: "response without status", response: true, edit: xmlEdit(func(s string) string { return replace(between(s, "<samlp:Status>", "</samlp:Status>"), "")(s) }), want: ReasonMalformed, check: CheckStatus},
	{name: "DOCTYPE", redirect: func(q string) string { return q }, edit: xmlEdit(func(s string) string {
		return strings.Replace(s, "<samlp:LogoutRequest", "<!DOCTYPE x><samlp:LogoutRequest", 1)
	}), want: ReasonMalformed, check: CheckXML},

	{name: "query signature over other content", redirect: param("SAMLRequest", func(string) string { return otherMessage }), want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "RelayState changed", redirect: param("RelayState", func(string) string { return "evil" }), want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "RelayState removed", redirect: func(q string) string { return replace("&RelayState=a%26b", "")(q) }, want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "RelayState encoded in another way", redirect: func(q string) string { return replace("a%26b", "%61%26b")(q) }, want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "SigAlg changed", redirect: param("SigAlg", func(string) string { return url.QueryEscape(xmldsig.RSASHA512) }), want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "SigAlg removed", redirect: func(q string) string { return strings.Replace(q, "&SigAlg=", "&X=", 1) }, want: ReasonMalformed, check: CheckEncoding},
	{name: "Signature removed", redirect: func(q string) string { return q[:strings.Index(q, "&Signature=")] }, want: ReasonMalformed, check: CheckEncoding},
	{name: "Signature empty", redirect: param("Signature", func(string) string { return "" }), want: ReasonMalformed, check: CheckEncoding},
	{name: "Signature of zeros", redirect: param("Signature", func(string) string { return strings.Repeat("AAAA", 80) }), want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "SAMLRequest twice", redirect: func(q string) string { return q + "&SAMLRequest=" + otherMessage }, want: ReasonMalformed, check: CheckEncoding},
	{name: "SAMLRequest twice, once encoded", redirect: func(q string) string { return "SAML%52equest=" + otherMessage + "&" + q }, want: ReasonMalformed, check: CheckEncoding},
	{name: "SAMLRequest and SAMLResponse", redirect: func(q string) string { return q + "&SAMLResponse=" + otherMessage }, want: ReasonMalformed, check: CheckEncoding},
	{name: "SigAlg twice", redirect: func(q string) string { return q + "&SigAlg=" + url.QueryEscape(xmldsig.RSASHA1) }, want: ReasonMalformed, check: CheckEncoding},
	{name: "parameters of others around", redirect: func(q string) string { return "utm_source=x&" + q + "&y=%zz" }, want: ""},
	{name: "parameters in another order", redirect: func(q string) string {
		p := strings.Split(q, "&")
		return strings.Join([]string{p[3], p[1], p[2], p[0]}, "&")
	}, want: ""},
	{name: "percent signs in lower case", redirect: func(q string) string { return q }, edit: func(l *samltest.Logout) { l.RelayState = "ö/é" }, want: ""},
	{name: "no query", redirect: func(string) string { return "" }, want: ReasonMalformed, check: CheckEncoding},
	{name: "not base64", redirect: param("SAMLRequest", func(string) string { return "!!" }), want: ReasonMalformed, check: CheckEncoding},
	{name: "not DEFLATE", redirect: param("SAMLRequest", func(string) string { return "AAAA" }), want: ReasonMalformed, check: CheckEncoding},
	{name: "other encoding named", redirect: func(q string) string { return q + "&SAMLEncoding=urn:x" }, want: ReasonMalformed, check: CheckEncoding},
	{name: "DEFLATE named", redirect: func(q string) string {
		return q + "&SAMLEncoding=" + url.QueryEscape("urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE")
	}},
	{name: "XML signature instead of a query signature", redirect: func(q string) string { return q }, edit: func(l *samltest.Logout) {
		l.Unsigned = true
		l.Edit = func(s string) string {
			signed, err := samltest.Sign(s, &xmldsig.Signer{Key: shared().idp.Key})
			if err != nil {
				panic(err)
			}
			return signed
		}
	}, want: ReasonSignatureInvalid, check: CheckSignature},

	{name: "posted and changed", post: func(v string) string {
		return encodeEdit(v, func(s string) string { return strings.Replace(s, "alice", "mallory", 1) })
	}, want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "posted, wrapped", post: func(v string) string {
		return encodeEdit(v, func(s string) string {
			evil := strings.Replace(strings.Replace(s, "alice", "mallory", 1), ` ID="_`, ` ID="_evil`, 1)
			return strings.Replace(evil, "</ds:Signature>", "<ds:Object>"+s+"</ds:Object></ds:Signature>", 1)
		})
	}, want: ReasonMalformed, check: CheckShape},
	{name: "posted, not base64", post: func(string) string { return "!" }, want: ReasonMalformed, check: CheckEncoding},
	{name: "posted, empty", post: func(string) string { return "" }, want: ReasonMalformed, check: CheckEncoding},
	{name: "posted, empty message", post: func(string) string {
		return encode(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`)
	}, want: ReasonSignatureInvalid, check: CheckSignature},
	{name: "posted, empty response", response: true, post: func(string) string {
		return encode(`<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`)
	}, want: ReasonSignatureInvalid, check: CheckSignature},
}

// otherMessage is a valid deflated message that was not signed.
var otherMessage = func() string {
	q, err := (&samltest.IdP{EntityID: "https://idp.example.com/metadata"}).Query(
		(&samltest.IdP{EntityID: "https://idp.example.com/metadata"}).LogoutRequest(samltest.Logout{Now: t0, NameID: "mallory@example.com", Destination: "https://sso.example.com/saml/okta/slo"}),
		samltest.Logout{Unsigned: true})
	if err != nil {
		panic(err)
	}
	return strings.TrimPrefix(q, "SAMLRequest=")
}()

func encodeEdit(value string, edit func(string) string) string {
	raw, err := decodeBase64(value, 1<<20)
	if err != nil {
		panic(err)
	}
	return encode(edit(string(raw)))
}

func TestLogoutVectors(t *testing.T) {
	for _, v := range logoutVectors {
		for _, binding := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
			if binding == snapshot.BindingRedirect && v.post != nil || binding == snapshot.BindingPOST && v.redirect != nil {
				continue
			}
			t.Run(strings.ReplaceAll(v.name, " ", "_")+"/"+binding[strings.LastIndexByte(binding, '-')+1:], func(t *testing.T) { v.run(t, binding) })
		}
	}
}

// decide makes the message and lets a connection to an IdP of the type decide about it.
func (v logoutVector) decide(t *testing.T, binding, idpType string) (l samltest.Logout, req *LogoutRequest, resp *LogoutResponse, r *Refusal) {
	t.Helper()
	f := newFixture(t)
	f.conf.Type = idpType
	if v.setup != nil {
		v.setup(f)
		if f.idp.EntityID == shared().idp.EntityID && v.want == "" {
			f.conf.Trust = f.idp.Trust()
		}
	}
	l = samltest.Logout{Now: t0, Destination: f.conf.SLOURL, RelayState: "a&b", SessionIndexes: []string{"s-1", "s-2"}, InResponseTo: "_logout1", NameIDFormat: identity.FormatEmailAddress}
	if v.edit != nil {
		v.edit(&l)
	}
	message := f.idp.LogoutRequest
	if v.response {
		message = f.idp.LogoutResponse
	}
	doc := message(l)
	in := incoming(t, f, binding, doc, l, v)
	if v.after != nil {
		v.after(f)
	}
	c := f.connection()
	if v.response {
		resp, r = c.AcceptLogoutResponse(in, "_logout1", f.now)
	} else {
		req, r = c.AcceptLogoutRequest(in, f.now)
	}
	return l, req, resp, r
}

func (v logoutVector) run(t *testing.T, binding string) {
	l, req, resp, r := v.decide(t, binding, "Generic")
	if v.want == "" {
		if r != nil {
			t.Fatalf("refused: %v: %s", r, r.Sentence)
		}
		if req != nil && (req.NameID.Value != "alice@example.com" || strings.Join(req.SessionIndexes, ",") != "s-1,s-2" || req.Binding != binding || req.RelayState != l.RelayState || req.ReplayUntil.IsZero()) {
			t.Errorf("read %+v", req)
		}
		if resp != nil && (!resp.Success || resp.InResponseTo != "_logout1" || resp.RelayState != l.RelayState) {
			t.Errorf("read %+v", resp)
		}
		return
	}
	if r == nil {
		t.Fatalf("accepted %+v %+v; want %s", req, resp, v.want)
	}
	if r.Reason != v.want || r.Check != v.check || req != nil || resp != nil {
		t.Errorf("refused with %v: %s; want %s (%s)", r, r.Sentence, v.want, v.check)
	}
}

func incoming(t *testing.T, f *fixture, binding, doc string, l samltest.Logout, v logoutVector) Incoming {
	t.Helper()
	in := Incoming{Binding: binding}
	var err error
	if binding == snapshot.BindingRedirect {
		if in.RawQuery, err = f.idp.Query(doc, l); err == nil && v.redirect != nil {
			in.RawQuery = v.redirect(in.RawQuery)
		}
	} else {
		if in.Value, err = f.idp.Post(doc, l); err == nil && v.post != nil {
			in.Value = v.post(in.Value)
		}
		in.RelayState = l.RelayState
	}
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestLogoutRequestWithEncryptedID(t *testing.T) {
	for _, block := range []string{xmlenc.AES256GCM, xmlenc.AES128CBC} {
		f := newFixture(t)
		data, err := xmlenc.Encrypt([]byte(`<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Format="f">alice@example.com</saml:NameID>`),
			[]*rsa.PublicKey{public(shared().current)}, xmlenc.Options{Block: block})
		if err != nil {
			t.Fatal(err)
		}
		l := samltest.Logout{Now: t0, Destination: f.conf.SLOURL, Identifier: "<saml:EncryptedID>" + string(data) + "</saml:EncryptedID>"}
		for _, binding := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
			req, r := f.connection().AcceptLogoutRequest(incoming(t, f, binding, f.idp.LogoutRequest(l), l, logoutVector{}), t0)
			if r != nil || req.NameID.Value != "alice@example.com" || req.NameID.Format != "f" {
				t.Errorf("%s: %+v, %v", binding, req, r)
			}
		}
	}
}

func TestPartialLogoutIsNoSuccess(t *testing.T) {
	for _, tc := range []struct{ status, sub string }{{StatusSuccess, StatusPartialLogout}, {statusResponder, StatusPartialLogout}, {statusRequester, statusRequestDenied}} {
		f := newFixture(t)
		l := samltest.Logout{Now: t0, Destination: f.conf.SLOURL, InResponseTo: "_1", Status: tc.status, SubStatus: tc.sub}
		resp, r := f.connection().AcceptLogoutResponse(incoming(t, f, snapshot.BindingRedirect, f.idp.LogoutResponse(l), l, logoutVector{response: true}), "_1", t0)
		if r != nil || resp.Success || resp.Status != tc.status || resp.SubStatus != tc.sub {
			t.Errorf("%+v, %v", resp, r)
		}
	}
	if _, r := newFixture(t).connection().AcceptLogoutResponse(Incoming{}, "", t0); r == nil {
		t.Error("a response to no request is accepted")
	}
}

// receiveMessage reads a logout message as the IdP does.
func receiveMessage(t *testing.T, m *Message) *samltest.Request {
	t.Helper()
	var out *samltest.Request
	var err error
	if m.Binding == snapshot.BindingPOST {
		out, err = samltest.ReadForm(m.Value, m.RelayState, ourPolicy())
	} else {
		out, err = samltest.ReadQuery(m.RedirectURL[strings.Index(m.RedirectURL, "?")+1:], ourPolicy())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNewLogoutMessages(t *testing.T) {
	for i, binding := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
		f := newFixture(t)
		f.conf.Trust.SLO = f.conf.Trust.SLO[i : i+1]
		c := f.connection()
		id := NameID{Value: "alice & bob", Format: identity.FormatPersistent, NameQualifier: "q", SPNameQualifier: "sp"}
		m, err := c.NewLogoutRequest(t0, id, []string{"s-1", "", "s-2"}, "state&x")
		if err != nil {
			t.Fatal(err)
		}
		got := receiveMessage(t, m)
		if got.Kind != "LogoutRequest" || got.ID != m.ID || got.NameID != id.Value || strings.Join(got.SessionIndexes, ",") != "s-1,s-2" || got.Issuer != f.conf.EntityID ||
			got.Destination != f.idp.SLOURL || got.RelayState != "state&x" {
			t.Errorf("the IdP reads %+v", got)
		}
		if !strings.Contains(string(got.XML), `NotOnOrAfter="2026-11-24T09:05:00.000Z"`) || !strings.Contains(string(got.XML), `SPNameQualifier="sp"`) {
			t.Errorf("the IdP reads %s", got.XML)
		}
		m, err = c.NewLogoutResponse(t0, "_idp1", binding, StatusSuccess, "rs")
		if err != nil {
			t.Fatal(err)
		}
		got = receiveMessage(t, m)
		if got.Kind != "LogoutResponse" || got.InResponseTo != "_idp1" || got.Status != StatusSuccess || got.RelayState != "rs" {
			t.Errorf("the IdP reads %+v", got)
		}
	}
}

func TestLogoutEndpoints(t *testing.T) {
	f := newFixture(t)
	f.conf.Trust.SLO[0].ResponseURL = "https://idp.example.com/slo/response"
	m, err := f.connection().NewLogoutResponse(t0, "_1", snapshot.BindingRedirect, StatusSuccess, "")
	if err != nil || !strings.HasPrefix(m.RedirectURL, "https://idp.example.com/slo/response?") {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = f.connection().NewLogoutResponse(t0, "_1", snapshot.BindingPOST, StatusSuccess, "")
	if err != nil || m.PostURL != f.idp.SLOURL || m.Field != "SAMLResponse" {
		t.Errorf("%+v, %v", m, err)
	}
	f.conf.Logout.URL = "https://idp.example.com/own"
	m, err = f.connection().NewLogoutRequest(t0, NameID{Value: "a"}, nil, "")
	if err != nil || !strings.HasPrefix(m.RedirectURL, "https://idp.example.com/own?SAMLRequest=") {
		t.Errorf("%+v, %v", m, err)
	}
	f.conf.Logout.URL, f.conf.Trust.SLO = "", nil
	c := f.connection()
	if _, err := c.NewLogoutRequest(t0, NameID{Value: "a"}, nil, ""); err == nil || !strings.Contains(err.Error(), "spec.saml.logout.url") || c.CanLogout() {
		t.Errorf("%v", err)
	}
	if !newFixture(t).connection().CanLogout() {
		t.Error("logout is not possible")
	}
	if _, err := newFixture(t).connection().NewLogoutRequest(t0, NameID{}, nil, ""); err == nil {
		t.Error("a LogoutRequest about nobody is made")
	}
}
