package saml

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/samltest/modcache"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
	"sallyport.dev/sallyport/internal/snapshot"
)

// fuzzFixture has keys that are the same in every process of a fuzzing run.
func fuzzFixture(t testing.TB) *fixture {
	idpKey, spKey, err := modcache.FuzzKeys()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	f.idp = reKeyed(idpKey)
	f.conf.Trust = f.idp.Trust()
	key, err := samltest.SPKeyFrom(snapshot.KeyCurrent, spKey, "sp", t0)
	if err != nil {
		t.Fatal(err)
	}
	f.conf.Keys = []snapshot.SPKey{key}
	return f
}

// fixed makes a response the same in every process.
func fixed(r samltest.Response) samltest.Response {
	r.ResponseID, r.AssertionID, r.SessionIndex = "_response1", "_assertion1", "s-1"
	r.NoKeyInfo = true
	return r
}

// FuzzResponse: nothing panics, and whatever is accepted says what the IdP signed.
func FuzzResponse(f *testing.F) {
	fx := fuzzFixture(f)
	c := fx.connection()
	sp := c.decrypters[0]
	sign := map[string]func(*samltest.Response){
		"assertion": func(*samltest.Response) {}, "response": signResponse, "both": signBoth,
		"encrypted": func(r *samltest.Response) { r.EncryptTo = []*rsa.PublicKey{&sp.PublicKey} },
		"cbc": func(r *samltest.Response) {
			signResponse(r)
			r.EncryptTo, r.Encryption = []*rsa.PublicKey{&sp.PublicKey}, xmlenc.Options{Block: xmlenc.AES128CBC, Beside: true}
		},
		"failure": func(r *samltest.Response) { r.Status, r.StatusMessage = statusResponder, "no" },
	}
	for _, edit := range sign {
		r := fixed(fx.response())
		edit(&r)
		xml, err := fx.idp.Respond(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(xml)
		for _, w := range onAssertion {
			if s := string(xml); strings.Contains(s, "<saml:Assertion ") && strings.Contains(assertionOf(s), "<ds:Signature") {
				f.Add([]byte(w.edit(s, assertionOf(s), twin(assertionOf(s)))))
			}
		}
	}
	f.Fuzz(func(t *testing.T, xml []byte) {
		a := &acceptance{Connection: c, pending: fx.pending, now: t0}
		got, r := a.run(context.Background(), base64.StdEncoding.EncodeToString(xml), steps)
		if (got == nil) == (r == nil) {
			t.Fatalf("assertion %v, refusal %v", got, r)
		}
		if r != nil {
			a.claims(r)
			if r.Sentence == "" || r.Reason == "" || r.Check == "" {
				t.Fatalf("the refusal does not explain itself: %+v", r)
			}
			return
		}
		if got.NameID.Value != "alice@example.com" || got.ID != "_assertion1" || got.Issuer != fx.idp.EntityID || strings.Join(got.Values()["groups"], ",") != "dev,ml-team" {
			t.Fatalf("%q is accepted as %+v", xml, got)
		}
	})
}

// FuzzLogout: nothing panics, and whatever is accepted names the person whom the IdP named.
func FuzzLogout(f *testing.F) {
	fx := fuzzFixture(f)
	c := fx.connection()
	l := samltest.Logout{Now: t0, ID: "_1", Destination: fx.conf.SLOURL, InResponseTo: "_logout1", SessionIndexes: []string{"s-1"}, RelayState: "rs"}
	for _, doc := range []string{fx.idp.LogoutRequest(l), fx.idp.LogoutResponse(l)} {
		query, err := fx.idp.Query(doc, l)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(true, query)
		posted, err := fx.idp.Post(doc, l)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(posted)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(false, string(raw))
		f.Add(true, query+"&SAMLRequest="+otherMessage)
	}
	f.Fuzz(func(t *testing.T, redirect bool, data string) {
		in := Incoming{Binding: snapshot.BindingPOST, Value: encode(data)}
		if redirect {
			in = Incoming{Binding: snapshot.BindingRedirect, RawQuery: data}
		}
		req, r := c.AcceptLogoutRequest(in, t0)
		if r == nil && (req.NameID.Value != "alice@example.com" || req.ID != "_1") || r != nil && r.Check == CheckPanic {
			t.Fatalf("%q: %+v, %v", data, req, r)
		}
		resp, r := c.AcceptLogoutResponse(in, "_logout1", t0)
		if r == nil && resp.InResponseTo != "_logout1" || r != nil && r.Check == CheckPanic {
			t.Fatalf("%q: %+v, %v", data, resp, r)
		}
	})
}

// FuzzRedirectQuery: what is taken for signed is what net/url reads, and inflating is bounded.
func FuzzRedirectQuery(f *testing.F) {
	fx := fuzzFixture(f)
	l := samltest.Logout{Now: t0, ID: "_1", Destination: fx.conf.SLOURL, RelayState: "a&b"}
	query, err := fx.idp.Query(fx.idp.LogoutRequest(l), l)
	if err != nil {
		f.Fatal(err)
	}
	for _, q := range []string{query, query + "&x=y", "SAMLRequest=" + otherMessage, "SAMLResponse=" + otherMessage + "&RelayState=", "SAMLRequest=&SAMLRequest=", "SAML%52equest=" + otherMessage, "SAMLRequest=%", "SigAlg=x&Signature=y", ""} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseRedirectQuery(raw, 64<<10)
		if err != nil {
			return
		}
		if len(q.message) > 64<<10 {
			t.Fatalf("%d bytes were inflated", len(q.message))
		}
		// Semicolons are part of a value here and an error there.
		if strings.Contains(raw, ";") {
			return
		}
		values, _ := url.ParseQuery(raw)
		if len(values[q.field]) != 1 || values.Get("RelayState") != q.relayState || len(values["SAMLRequest"])+len(values["SAMLResponse"]) != 1 || q.algorithm != "" && values.Get("SigAlg") != q.algorithm {
			t.Fatalf("%q: %+v here, %v there", raw, q, values)
		}
	})
}
