package saml

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport.dev/sallyport/internal/saml/samltest"
)

// vector is one message and its verdict. Its name, rule and class make the table in docs/security/response-pipeline.md.
type vector struct {
	// rule is the number in the list of rules; class is the row of the table of vulnerability classes, 0 for none.
	rule, class int
	name        string
	// setup changes the connection or the request before the message is made. edit changes the message. Without edit, and with
	// setup, every vector is accepted: so it is the edit alone that is refused.
	setup func(*fixture)
	edit  func(*samltest.Response)
	// after changes the connection, the request or the clock once the message is made; it counts as part of the edit.
	after func(*fixture)
	// wire replaces the form value.
	wire func(f *fixture, form string) string

	// want and check are the refusal; want is empty for an accepted message.
	want  Reason
	check Check
	// says must be in the sentence.
	says string
	// verify looks at an accepted assertion.
	verify func(t *testing.T, a *Assertion)
	// needsEdit is for vectors whose setup alone is not acceptable.
	needsEdit bool
}

// vectors are collected from the files vectors_*_test.go in the order of the rules.
func vectors() []vector {
	return slices.Concat(limitVectors, pendingVectors, responseVectors, countVectors, wrappingVectors(), encryptionVectors(), signatureVectors(),
		subjectVectors, conditionVectors, authnVectors, attributeVectors)
}

// prepared is a vector whose message is made.
type prepared struct {
	vector
	f    *fixture
	c    *Connection
	form string
}

func (v vector) prepare(t testing.TB) prepared {
	t.Helper()
	f := newFixture(t)
	if v.setup != nil {
		v.setup(f)
	}
	if !v.needsEdit {
		base := f.form(f.response())
		if _, r := f.connection().Accept(context.Background(), base, f.pending, f.now); r != nil {
			t.Fatalf("without the edit the message is refused already: %v: %s", r, r.Sentence)
		}
	}
	r := f.response()
	if v.edit != nil {
		v.edit(&r)
	}
	form := f.form(r)
	if v.wire != nil {
		form = v.wire(f, form)
	}
	if v.after != nil {
		v.after(f)
	}
	return prepared{vector: v, f: f, c: f.connection(), form: form}
}

func (v vector) title() string {
	return fmt.Sprintf("rule_%02d/class_%02d/%s", v.rule, v.class, strings.ReplaceAll(v.name, " ", "_"))
}

func TestVectors(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.title(), func(t *testing.T) {
			p := v.prepare(t)
			a, r := p.c.Accept(t.Context(), p.form, p.f.pending, p.f.now)
			if (a == nil) == (r == nil) {
				t.Fatalf("assertion %v and refusal %v", a, r)
			}
			if v.want == "" {
				if r != nil {
					t.Fatalf("refused: %v: %s", r, r.Sentence)
				}
				if v.verify != nil {
					v.verify(t, a)
				}
				return
			}
			if r == nil {
				t.Fatalf("accepted %q; want %s", a.NameID.Value, v.want)
			}
			if r.Reason != v.want || r.Check != v.check {
				t.Fatalf("refused with %v: %q; want %s (%s)", r, r.Sentence, v.want, v.check)
			}
			if r.Check == CheckPanic {
				t.Fatal("the pipeline panicked")
			}
			if !strings.Contains(r.Sentence, v.says) {
				t.Fatalf("the sentence %q does not say %q", r.Sentence, v.says)
			}
		})
	}
}

// TestEveryStepIsNeeded leaves out one step of the pipeline at a time: some vector must then get another verdict.
func TestEveryStepIsNeeded(t *testing.T) {
	var all []prepared
	for _, v := range vectors() {
		all = append(all, v.prepare(t))
	}
	for i := range steps {
		fewer := slices.Delete(slices.Clone(steps), i, i+1)
		changed := ""
		for _, p := range all {
			if p.verdict(fewer) != p.want {
				changed = p.name
				break
			}
		}
		if changed == "" {
			t.Errorf("step %d can be left out and no vector notices", i)
		}
	}
}

// verdict runs the pipeline with other steps; a panic is a verdict of its own.
func (p prepared) verdict(steps []step) (reason Reason) {
	defer func() {
		if recover() != nil {
			reason = "panic"
		}
	}()
	a := &acceptance{Connection: p.c, pending: p.f.pending, now: p.f.now}
	if _, r := a.run(context.Background(), p.form, steps); r != nil {
		return r.Reason
	}
	return ""
}

// TestEveryCheckRefuses wants a refusing vector for each check of the response pipeline.
func TestEveryCheckRefuses(t *testing.T) {
	seen := map[Check]bool{}
	for _, v := range vectors() {
		seen[v.check] = true
	}
	for _, c := range []Check{
		CheckPending, CheckEncoding, CheckLimits, CheckXML, CheckShape, CheckVersion, CheckStatus, CheckDestination, CheckIssuer, CheckInResponseTo,
		CheckIssueInstant, CheckEncryption, CheckSignature, CheckSubject, CheckConfirmation, CheckConditions, CheckAudience, CheckAuthn,
		CheckSessionExpiry, CheckAuthnContext, CheckForceAuthn,
	} {
		if !seen[c] {
			t.Errorf("no vector is refused by %s", c)
		}
	}
}

// replace makes an edit of text; it must find what it replaces.
func replace(old, new string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("test: " + old + " is not in " + s)
		}
		return strings.Replace(s, old, new, 1)
	}
}

// between cuts out the first piece of s from start to end, both included.
func between(s, start, end string) string {
	i := strings.Index(s, start)
	if i < 0 {
		panic("test: " + start + " is not in " + s)
	}
	from := i + len(start)
	j := strings.Index(s[from:], end)
	if j < 0 {
		panic("test: " + end + " is not in " + s)
	}
	return s[i : from+j+len(end)]
}

// inAssertion, inResponse and sent make vectors' edits.
func inAssertion(edit func(string) string) func(*samltest.Response) {
	return func(r *samltest.Response) { r.EditAssertion = edit }
}

func inResponse(edit func(string) string) func(*samltest.Response) {
	return func(r *samltest.Response) { r.EditResponse = edit }
}

func sent(edit func(string) string) func(*samltest.Response) {
	return func(r *samltest.Response) { r.EditSent = edit }
}

// both applies several edits.
func both(edits ...func(*samltest.Response)) func(*samltest.Response) {
	return func(r *samltest.Response) {
		for _, e := range edits {
			e(r)
		}
	}
}

func signResponse(r *samltest.Response) { r.SignResponse = true }
func signBoth(r *samltest.Response)     { r.SignResponse, r.SignAssertion = true, true }

// signedElsewhere signs the edited assertion with goxmldsig, which signs what our own parser would not read.
func signedElsewhere(edit func(string) string) func(*samltest.Response) {
	return func(r *samltest.Response) {
		r.Unsigned = true
		r.EditAssertion = func(s string) string {
			doc := etree.NewDocument()
			if err := doc.ReadFromString(edit(s)); err != nil {
				panic(err)
			}
			ctx, err := dsig.NewSigningContext(shared().idp.Key, [][]byte{shared().idp.Certificate})
			if err != nil {
				panic(err)
			}
			ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
			signed, err := ctx.SignEnveloped(doc.Root())
			if err != nil {
				panic(err)
			}
			out, err := etree.NewDocumentWithRoot(signed).WriteToString()
			if err != nil {
				panic(err)
			}
			return out
		}
	}
}
