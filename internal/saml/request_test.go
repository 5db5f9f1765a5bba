package saml

import (
	"net/url"
	"strings"
	"testing"

	crewjam "github.com/crewjam/saml"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmldoc"
	"sallyport.dev/sallyport/internal/saml/xmldsig"
	"sallyport.dev/sallyport/internal/snapshot"
)

// ourPolicy verifies what the connection signs.
func ourPolicy() *xmldsig.Policy {
	key := public(shared().current)
	return &xmldsig.Policy{Keys: append(xmldsig.Policy{}.Keys, key), Limits: xmldoc.DefaultLimits()}
}

// receive reads a request as the IdP does, and checks its signature.
func receive(t *testing.T, r *AuthnRequest) *samltest.Request {
	t.Helper()
	var out *samltest.Request
	var err error
	if r.Binding == snapshot.BindingPOST {
		out, err = samltest.ReadForm(r.SAMLRequest, r.RelayState, ourPolicy())
	} else {
		out, err = samltest.ReadQuery(r.RedirectURL[strings.Index(r.RedirectURL, "?")+1:], ourPolicy())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAuthnRequest(t *testing.T) {
	for _, binding := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
		t.Run(binding, func(t *testing.T) {
			f := newFixture(t)
			f.conf.Request.Binding = binding
			r, err := f.connection().NewAuthnRequest(t0, "handle-1", RequestOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got := receive(t, r)
			if got.Kind != "AuthnRequest" || got.ID != r.ID || got.Issuer != f.conf.EntityID || got.ACS != f.conf.ACSURL || got.Destination != "https://idp.example.com/sso" ||
				got.RelayState != "handle-1" || got.HasNameIDPolicy || got.ForceAuthn || got.Classes != nil {
				t.Errorf("the IdP reads %+v", got)
			}
			want := Pending{RequestID: r.ID, Connection: "okta", IssuedAt: t0}
			if p := r.Pending(); p.RequestID != want.RequestID || p.Connection != want.Connection || !p.IssuedAt.Equal(want.IssuedAt) || p.ForceAuthn {
				t.Errorf("pending %+v", p)
			}
		})
	}
}

func TestAuthnRequestCarriesThePolicy(t *testing.T) {
	for _, binding := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
		f := newFixture(t)
		f.conf.Request = snapshot.RequestPolicy{
			Sign: true, Binding: binding, NameIDFormat: identity.FormatPersistent, ForceAuthn: true,
			AuthnContextComparison: "Minimum", AuthnContextClasses: []string{classPPT, classMFA},
		}
		r, err := f.connection().NewAuthnRequest(t0, "", RequestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := receive(t, r)
		if !got.HasNameIDPolicy || got.NameIDFormat != identity.FormatPersistent || !got.ForceAuthn || got.Comparison != "minimum" || strings.Join(got.Classes, " ") != classPPT+" "+classMFA {
			t.Errorf("the IdP reads %+v", got)
		}
		p := r.Pending()
		if !p.ForceAuthn || p.Comparison != "minimum" || len(p.Classes) != 2 {
			t.Errorf("pending %+v", p)
		}
	}
}

func TestForceAuthnOfOneRequest(t *testing.T) {
	r, err := newFixture(t).connection().NewAuthnRequest(t0, "", RequestOptions{ForceAuthn: true})
	if err != nil {
		t.Fatal(err)
	}
	if !receive(t, r).ForceAuthn || !r.Pending().ForceAuthn {
		t.Error("ForceAuthn is lost")
	}
}

// TestRelayStateIsEncoded: nothing in a relay state can add a parameter, and the signature is over what is sent.
func TestRelayStateIsEncoded(t *testing.T) {
	for _, state := range []string{"a&SigAlg=x", "a=b", "ä b+c%20", "#fragment", "&SAMLRequest=evil", "\r\nLocation: x", strings.Repeat("x", 80)} {
		r, err := newFixture(t).connection().NewAuthnRequest(t0, state, RequestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(r.RedirectURL)
		if err != nil {
			t.Fatal(err)
		}
		q, err := url.ParseQuery(u.RawQuery)
		if err != nil || len(q) != 4 || q.Get("RelayState") != state || len(q["SAMLRequest"]) != 1 || u.Fragment != "" {
			t.Errorf("%q becomes %v, %v", state, q, err)
		}
		// The signature is over the octets as they are sent, up to Signature.
		signed, _, _ := strings.Cut(u.RawQuery, "&Signature=")
		sig, err := decodeBase64(q.Get("Signature"), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := xmldsig.VerifyBytes([]byte(signed), q.Get("SigAlg"), sig, *ourPolicy()); err != nil {
			t.Errorf("%q: %v", state, err)
		}
	}
	if _, err := newFixture(t).connection().NewAuthnRequest(t0, strings.Repeat("x", 81), RequestOptions{}); err == nil {
		t.Error("a relay state of 81 bytes is sent")
	}
}

func TestEndpointWithQuery(t *testing.T) {
	f := newFixture(t)
	f.conf.Trust.SSO = []snapshot.Endpoint{{Binding: snapshot.BindingRedirect, URL: "https://accounts.google.com/o/saml2/idp?idpid=C01"}}
	r, err := f.connection().NewAuthnRequest(t0, "h", RequestOptions{})
	if err != nil || !strings.HasPrefix(r.RedirectURL, "https://accounts.google.com/o/saml2/idp?idpid=C01&SAMLRequest=") {
		t.Errorf("%s, %v", r.RedirectURL, err)
	}
}

func TestLoginHint(t *testing.T) {
	for _, tc := range []struct {
		idpType string
		sent    bool
	}{{"Okta", true}, {"EntraID", true}, {"ADFS", false}, {"Generic", false}} {
		f := newFixture(t)
		f.conf.Type = tc.idpType
		r, err := f.connection().NewAuthnRequest(t0, "h", RequestOptions{LoginHint: "alice+x@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(r.RedirectURL, "login_hint=alice%2Bx%40example.com&"); got != tc.sent {
			t.Errorf("%s: %s", tc.idpType, r.RedirectURL)
		}
		receive(t, r)
	}
}

func TestSigningPolicy(t *testing.T) {
	for _, tc := range []struct {
		name         string
		sign, wanted bool
		signed       bool
	}{{"our policy", true, false, true}, {"the IdP's metadata", false, true, true}, {"neither", false, false, false}} {
		f := newFixture(t)
		f.conf.Request.Sign, f.conf.Trust.WantAuthnRequestsSigned = tc.sign, tc.wanted
		r, err := f.connection().NewAuthnRequest(t0, "h", RequestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(r.RedirectURL, "&Signature="); got != tc.signed {
			t.Errorf("%s: signed is %v", tc.name, got)
		}
	}
}

func TestRequestsThatCannotBeMade(t *testing.T) {
	for name, edit := range map[string]func(*fixture){
		"trust is not established": func(f *fixture) { f.conf.Trust = nil },
		"no single sign-on URL":    func(f *fixture) { f.conf.Trust.SSO = nil },
		"spec.saml.request.binding": func(f *fixture) {
			f.conf.Request.Binding, f.conf.Trust.SSO = snapshot.BindingPOST, f.conf.Trust.SSO[:1]
		},
		"no current key": func(f *fixture) { f.conf.Keys = []snapshot.SPKey{shared().next} },
	} {
		f := newFixture(t)
		edit(f)
		if _, err := f.connection().NewAuthnRequest(t0, "", RequestOptions{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnyReplicaTakesTheAnswerToEachTab: two tabs have two requests; any replica accepts the answer to either, from the stored value alone, and neither
// answer fits the other request.
func TestAnyReplicaTakesTheAnswerToEachTab(t *testing.T) {
	f := newFixture(t)
	first, second := f.connection(), f.connection()
	tab1, err := first.NewAuthnRequest(t0, "1", RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tab2, err := first.NewAuthnRequest(t0, "2", RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range []*AuthnRequest{tab2, tab1} {
		r := f.response()
		r.InResponseTo = tab.ID
		form := f.form(r)
		p1, p2 := tab1.Pending(), tab2.Pending()
		mine, other := &p1, &p2
		if tab == tab2 {
			mine, other = other, mine
		}
		if _, refusal := second.Accept(t.Context(), form, mine, t0); refusal != nil {
			t.Errorf("another replica refuses: %s", refusal.Sentence)
		}
		if _, refusal := second.Accept(t.Context(), form, other, t0); refusal == nil || refusal.Reason != ReasonInResponseToMismatch {
			t.Errorf("the other tab's request is answered: %v", refusal)
		}
	}
}

// TestRequestIDs are NCNames of at least 128 random bits, never the same.
func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		if seen[id] || len(id) != 41 || id[0] != '_' {
			t.Fatalf("ID %q", id)
		}
		seen[id] = true
	}
}

// TestCrewjamReadsOurRequest: crewjam's IdP accepts a request of ours.
func TestCrewjamReadsOurRequest(t *testing.T) {
	f := newFixture(t)
	r, err := f.connection().NewAuthnRequest(t0, "h", RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sent := receive(t, r)
	var req crewjam.AuthnRequest
	if err := unmarshalXML(sent.XML, &req); err != nil {
		t.Fatal(err)
	}
	if req.ID != r.ID || req.Issuer.Value != f.conf.EntityID || !req.IssueInstant.Equal(t0) || req.Version != "2.0" || req.ProtocolBinding != crewjam.HTTPPostBinding || req.NameIDPolicy != nil {
		t.Errorf("crewjam reads %+v", req)
	}
}
