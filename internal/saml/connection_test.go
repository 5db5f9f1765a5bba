package saml

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

func TestConnectionErrorsNameTheField(t *testing.T) {
	for field, edit := range map[string]func(*fixture){
		"name and entityID":            func(f *fixture) { f.conf.EntityID = "" },
		"acsURL":                       func(f *fixture) { f.conf.ACSURL = "/saml/okta/acs" },
		"keys[1]: not a PKCS #8":       func(f *fixture) { f.conf.Keys[1].PrivateKey = []byte("x") },
		"trust.entityID":               func(f *fixture) { f.conf.Trust.EntityID = "" },
		"trust.signingCertificates[0]": func(f *fixture) { f.conf.Trust.SigningCertificates = [][]byte{[]byte("x")} },
		"trust.signingCertificates is": func(f *fixture) { f.conf.Trust.SigningCertificates = nil },
	} {
		f := newFixture(t)
		edit(f)
		if _, err := NewConnection(f.conf, DefaultLimits()); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestWeakKeysAreNotTrusted(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := rsaKey(1024)()
	der, err := samltest.SelfSigned(weak, "weak", t0, t0.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	f.conf.Trust.SigningCertificates = append([][]byte{der}, f.conf.Trust.SigningCertificates...)
	c, err := NewConnection(f.conf, DefaultLimits())
	if err != nil || len(c.trusted) != 1 {
		t.Errorf("a weak key beside a strong one: %v", err)
	}
	f.conf.Trust.SigningCertificates = [][]byte{der}
	if _, err := NewConnection(f.conf, DefaultLimits()); err == nil || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("a weak key alone: %v", err)
	}
}

func TestConnectionWithoutTrust(t *testing.T) {
	f := newFixture(t)
	f.conf.Trust = nil
	c := f.connection()
	if _, err := c.Metadata(); err != nil {
		t.Error(err)
	}
	if c.CanLogout() {
		t.Error("logout without trust")
	}
	if _, r := c.Accept(t.Context(), f.form(f.response()), f.pending, t0); r == nil || r.Reason != ReasonSignatureInvalid {
		t.Errorf("%v", r)
	}
}

// TestClockSkewIsWhatWasAskedFor, within what the API server takes: none at all, and up to ten minutes.
func TestClockSkewIsWhatWasAskedFor(t *testing.T) {
	f := newFixture(t)
	for asked, want := range map[time.Duration]time.Duration{-time.Second: 0, 0: 0, time.Second: time.Second, 10 * time.Minute: 10 * time.Minute, time.Hour: 10 * time.Minute} {
		f.conf.Response.ClockSkew = asked
		if got := f.connection().skew(); got != want {
			t.Errorf("%s asked for: %s", asked, got)
		}
	}
}

// TestConnectionIsSafeForConcurrentUse is for the race detector.
func TestConnectionIsSafeForConcurrentUse(t *testing.T) {
	f := newFixture(t)
	c := f.connection()
	r := f.response()
	encrypted := r
	encrypted.EncryptTo = append(encrypted.EncryptTo, public(shared().current))
	forms := []string{f.form(r), f.form(encrypted), f.form(samltest.Response{Now: t0, ACS: f.conf.ACSURL, Audience: "x", InResponseTo: "_request1"})}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 10 {
				if _, refusal := c.Accept(t.Context(), forms[(i+j)%3], f.pending, t0); (refusal != nil) != ((i+j)%3 == 2) {
					t.Errorf("form %d: %v", (i+j)%3, refusal)
				}
				if _, err := c.NewAuthnRequest(t0, "h", RequestOptions{}); err != nil {
					t.Error(err)
				}
				if _, err := c.Metadata(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestGivenUpRequestIsRefused(t *testing.T) {
	f := newFixture(t)
	form := f.form(f.response())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a, r := f.connection().Accept(ctx, form, f.pending, t0); a != nil || r == nil || r.Reason != ReasonLimitExceeded {
		t.Errorf("%v %v", a, r)
	}
}

// TestPanicsAreRefusals: should a check ever panic, that is a refusal and not a crash.
func TestPanicsAreRefusals(t *testing.T) {
	f := newFixture(t)
	c := f.connection()
	form := f.form(f.response())
	old := steps
	t.Cleanup(func() { steps = old })
	steps = append([]step{func(*acceptance) *Refusal { panic("boom") }}, old...)
	a, r := c.Accept(t.Context(), form, f.pending, t0)
	if a != nil || r == nil || r.Check != CheckPanic || strings.Contains(r.Sentence, "boom") || len(r.XML) == 0 {
		t.Errorf("%v %+v", a, r)
	}
}

// TestLimitsFollowOneNumber: what grows with the number of groups does, between the default and the most.
func TestLimitsFollowOneNumber(t *testing.T) {
	for _, n := range []int{-1, 0, 1, DefaultMaxMessage} {
		if got := LimitsFor(n); got != DefaultLimits() {
			t.Errorf("%d: %+v", n, got)
		}
	}
	for n, times := range map[int]int{2 * DefaultMaxMessage: 2, MostMaxMessage: 8, MostMaxMessage + 1: 8, 1 << 40: 8} {
		want := DefaultLimits()
		want.MaxMessage, want.XML.MaxBytes = times*DefaultMaxMessage, times*DefaultMaxMessage
		want.XML.MaxElements, want.XML.MaxAttributes = times*6000, times*12000
		if got := LimitsFor(n); got != want {
			t.Errorf("%d: %+v, want %+v", n, got, want)
		}
	}
}
