package saml

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

var update = flag.Bool("update", false, "write golden files and generated documents instead of comparing them")

// golden compares a text with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		w, g := strings.Split(string(want), "\n"), strings.Split(got, "\n")
		for i := range min(len(w), len(g)) {
			if w[i] != g[i] {
				t.Fatalf("%s differs in line %d: run go test with -update if that is right\nwant %s\ngot  %s", file, i+1, w[i], g[i])
			}
		}
		t.Fatalf("%s has %d lines, want %d: run go test with -update if that is right", file, len(g), len(w))
	}
}

// idpTypes are those of the API.
var idpTypes = []string{"Okta", "EntraID", "GoogleWorkspace", "ADFS", "Keycloak", "Generic"}

// diagnosed are vectors whose words are held by the golden file, beside one for each pair of a reason and a check.
var diagnosed = []string{
	"audience of another service", "no AudienceRestriction", "Destination of another service", "Recipient of another service", "signed by an unknown key that KeyInfo shows",
	"signed by an unknown key, no KeyInfo", "nothing signed", "response signature required and missing", "RSA-SHA1", "inclusive c14n as a transform",
	"AES-128-CBC in an unsigned Response", "encrypted to a key that is not ours", "encryption required, plain assertion", "Response of another issuer",
	"Response from the future, a second past the skew", "NotOnOrAfter and skew reached", "NotBefore a second past the skew", "session that ends now", "ForceAuthn and an old sign-in",
	"no pending request", "answers another request", "request of another connection", "failure with the IdP's message", "exact class missed", "too many bytes", "too many elements",
	"DOCTYPE", "two signed assertions", "no confirmation", "IdP disabled", "trust not established",
}

var fingerprint = regexp.MustCompile(`([0-9A-F]{2}:){31}[0-9A-F]{2}`)

// withWords are the vectors that the golden file holds. Every name in diagnosed must be one.
func withWords(t *testing.T) (out []vector) {
	t.Helper()
	type kind struct {
		Reason
		Check
	}
	known := map[kind]bool{}
	left := slices.Clone(diagnosed)
	for _, v := range vectors() {
		if i := slices.Index(left, v.name); i >= 0 && v.want != "" {
			left = slices.Delete(left, i, i+1)
			known[kind{v.want, v.check}] = true
			out = append(out, v)
		}
	}
	if len(left) > 0 {
		t.Fatalf("no vector is called %q", left)
	}
	for _, v := range vectors() {
		if k := (kind{v.want, v.check}); v.want != "" && !known[k] {
			known[k] = true
			out = append(out, v)
		}
	}
	return out
}

// logoutWords writes what is said about refused logout messages, one for each pair of a reason and a check.
func logoutWords(t *testing.T, b *strings.Builder) {
	t.Helper()
	known := map[string]bool{}
	for _, v := range logoutVectors {
		kind := fmt.Sprintf("%s (%s)", v.want, v.check)
		if v.want == "" || known[kind] {
			continue
		}
		known[kind] = true
		binding := snapshot.BindingRedirect
		if v.post != nil {
			binding = snapshot.BindingPOST
		}
		fmt.Fprintf(b, "== logout, %s: %s\n", v.name, kind)
		for i, idpType := range idpTypes {
			_, _, _, r := v.decide(t, binding, idpType)
			if i == 0 {
				b.WriteString(fingerprint.ReplaceAllString(r.Sentence, "(fingerprint)") + "\n")
			}
			fmt.Fprintf(b, "  %s: %s\n", idpType, r.Advice)
		}
	}
}

// TestDiagnosis holds every sentence that people read, per refusal and type of IdP.
func TestDiagnosis(t *testing.T) {
	var b strings.Builder
	found := map[Reason]bool{}
	for _, v := range withWords(t) {
		fmt.Fprintf(&b, "== %s: %s (%s)\n", v.name, v.want, v.check)
		for i, idpType := range idpTypes {
			p := v.prepare(t)
			p.f.conf.Type = idpType
			_, r := p.f.connection().Accept(t.Context(), p.form, p.f.pending, p.f.now)
			if i == 0 {
				b.WriteString(fingerprint.ReplaceAllString(r.Sentence, "(fingerprint)") + "\n")
			}
			fmt.Fprintf(&b, "  %s: %s\n", idpType, r.Advice)
			found[r.Reason] = true
		}
	}
	logoutWords(t, &b)
	for _, p := range []struct {
		reason           Reason
		expected, actual string
	}{
		{ReasonReplayed, "", ""}, {ReasonMissingEmail, "email, urn:oid:0.9.2342.19200300.100.1.3", "firstName, groups"}, {ReasonDomainNotBound, "acme.example", "victim.example"},
		{ReasonIdPDisabled, "", ""}, {ReasonUserNotFound, "", ""}, {ReasonUserSuspended, "", ""}, {ReasonSecondFactorFailed, "", ""},
		{ReasonMalformed, "one SAMLResponse", "none or several"},
	} {
		fmt.Fprintf(&b, "== %s\n", p.reason)
		for i, idpType := range idpTypes {
			f := newFixture(t)
			f.conf.Type = idpType
			r := f.connection().Refuse(p.reason, p.expected, p.actual)
			if i == 0 {
				b.WriteString(r.Sentence + "\n")
			}
			fmt.Fprintf(&b, "  %s: %s\n", idpType, r.Advice)
			found[p.reason] = true
		}
	}
	for _, reason := range Reasons() {
		if !found[reason] {
			t.Errorf("no sentence for %s is held", reason)
		}
	}
	golden(t, filepath.Join("testdata", "diagnosis.golden"), b.String())
}

// TestRefusalsExplainThemselves: every refusing vector has a sentence that ends in a full stop, and the XML and what it claims for the
// debug log; the error that is logged has no value of the message.
func TestRefusalsExplainThemselves(t *testing.T) {
	for _, v := range vectors() {
		if v.want == "" {
			continue
		}
		p := v.prepare(t)
		_, r := p.c.Accept(t.Context(), p.form, p.f.pending, p.f.now)
		if !strings.HasSuffix(r.Sentence, ".") || !strings.HasSuffix(r.Advice, ".") || strings.Contains(r.Sentence, "%!") || strings.Contains(r.Advice, "{") {
			t.Errorf("%s: %q %q", v.name, r.Sentence, r.Advice)
		}
		if r.Check != CheckEncoding && (r.Check != CheckLimits || r.XML != nil) && len(r.XML) == 0 {
			t.Errorf("%s: no XML for the debug log", v.name)
		}
		if r.Error() != fmt.Sprintf("saml: %s (%s)", v.want, v.check) {
			t.Errorf("%s: logged as %q", v.name, r)
		}
	}
}

func TestUnverifiedClaimsAreKept(t *testing.T) {
	f := newFixture(t)
	r := f.response()
	r.Audience = "https://victim.example"
	form := f.form(r)
	f.now = f.now.Add(30 * time.Second)
	_, refusal := f.connection().Accept(t.Context(), form, f.pending, f.now)
	u := refusal.Unverified
	if u == nil || u.Issuer != f.idp.EntityID || u.NameID.Value != "alice@example.com" || len(u.Attributes) != 2 || u.InResponseTo != "_request1" || u.AssertionID == "" || u.ID == "" {
		t.Errorf("kept %+v", u)
	}
	if refusal.ClockDifference != -30*time.Second {
		t.Errorf("clock difference %s", refusal.ClockDifference)
	}
	if refusal.Expected != f.conf.EntityID || refusal.Actual != "https://victim.example" {
		t.Errorf("expected %q, actual %q", refusal.Expected, refusal.Actual)
	}
}
