package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
)

var start = time.Date(2026, 11, 23, 10, 14, 2, 123456789, time.UTC)

func TestLineIsTheDocumentedRecord(t *testing.T) {
	head := audit.Head{Writer: "sso/main-0"}
	s, err := head.Append(audit.Record{
		Type: audit.TypeUserSignedInSAML, Outcome: audit.OutcomeSuccess, Session: "ab", Request: "7F3K-9Q2M",
		Actor:   audit.Actor{Kind: audit.ActorUser, ID: "u1", Email: "alice@example.com", IP: "203.0.113.7", UserAgent: `a "quoted" <agent>`},
		Target:  audit.Target{Kind: "IdentityProvider", Namespace: "sso", Name: "okta", UID: "x", Generation: 3},
		Details: audit.SignIn{IdP: "okta", MatchedBy: "subject"},
	}, start)
	if err != nil {
		t.Fatal(err)
	}
	s.ID = uuid.MustParse(s.ID).String()
	want := `{"actor":{"email":"alice@example.com","id":"u1","ip":"203.0.113.7","kind":"user","userAgent":"a \"quoted\" <agent>"},` +
		`"details":{"idp":"okta","matchedBy":"subject"},"id":"` + s.ID + `","outcome":"success","previousHash":"","request":"7F3K-9Q2M","sequence":1,"session":"ab",` +
		`"target":{"generation":3,"kind":"IdentityProvider","name":"okta","namespace":"sso","uid":"x"},"tier":"security","time":"2026-11-23T10:14:02.123456Z","type":"user_signed_in_saml","writer":"sso/main-0"`
	sum := sha256.Sum256([]byte(want + "}"))
	if got := string(s.Line); got != want+`,"hash":"`+hex.EncodeToString(sum[:])+`"}` {
		t.Errorf("line\n%s\nwant\n%s", got, want)
	}
	back, err := audit.ParseLine(s.Line)
	if err != nil {
		t.Fatal(err)
	}
	if back.Type != audit.TypeUserSignedInSAML || back.Actor != s.Actor || back.Target != s.Target || back.Hash != s.Hash || !back.Time.Equal(start.Truncate(time.Microsecond)) {
		t.Errorf("read back as %+v", back)
	}
}

func TestIDsAreUUIDv7AndSortByTime(t *testing.T) {
	last := ""
	for i := range 5000 {
		id := audit.NewID(start.Add(time.Duration(i) * time.Microsecond))
		u, err := uuid.Parse(id)
		if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: version %d, variant %s, %v", id, u.Version(), u.Variant(), err)
		}
		if sec, nsec := u.Time().UnixTime(); time.Unix(sec, nsec).UnixMilli() != start.Add(time.Duration(i)*time.Microsecond).UnixMilli() {
			t.Fatalf("%s is of another time", id)
		}
		if id[:17] < last { // the part that is time
			t.Fatalf("%s sorts before %s", id, last)
		}
		last = id[:17]
	}
}

func TestCanonical(t *testing.T) {
	cases := []struct{ in, want string }{
		{`{ "b" : 1, "a" : [ true , null, "x" ] }`, `{"a":[true,null,"x"],"b":1}`},
		{`{"\u0041":"\u003c\u20ac\u2028\u0001\/"}`, `{"A":"<€` + "\u2028" + `\u0001/"}`},
		{`{"a":{"d":1,"c":{}}}`, `{"a":{"c":{},"d":1}}`},
		{`{"a":1,"a":2}`, ""},
		{`{"a":{"x":1,"x":1}}`, ""},
		{`{"a":1.5}`, ""},
		{`{"a":1e3}`, ""},
		{`{"a":-0}`, ""},
		{`{"a":1} {"b":2}`, ""},
		{`{"a":`, ""},
		{strings.Repeat("[", 100) + strings.Repeat("]", 100), ""},
	}
	for _, c := range cases {
		got, err := audit.Canonical([]byte(c.in))
		if c.want == "" && err == nil {
			t.Errorf("%s became %s", c.in, got)
		} else if c.want != "" && string(got) != c.want {
			t.Errorf("%s became %s, %v, want %s", c.in, got, err, c.want)
		}
	}
}

func TestDetailsThatCannotBeRecorded(t *testing.T) {
	for name, details := range map[string]any{
		"a list": []string{"x"}, "a string": "x", "a fraction": map[string]float64{"x": 0.5}, "a channel": map[string]any{"x": make(chan int)},
		"not a number": map[string]float64{"x": math.NaN()}, "too big": map[string]string{"x": strings.Repeat("x", 300<<10)},
	} {
		head := audit.Head{Writer: "w"}
		if _, err := head.Append(audit.Record{Type: audit.TypeUserSignedOut, Details: details}, start); err == nil || head.Sequence != 0 {
			t.Errorf("%s was recorded", name)
		}
	}
}

func testSigner(t testing.TB) *audit.Signer {
	s, err := audit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStdoutChains(t *testing.T) {
	clock := testclock.NewFakeClock(start)
	var out bytes.Buffer
	for range 2 { // processes, which must not write the same chain
		w := audit.NewStdout(&out, "operator", clock)
		for range 3 {
			if err := w.Write(t.Context(), audit.Record{Type: audit.TypeSnapshotProgrammed}); err != nil {
				t.Fatal(err)
			}
		}
	}
	report, err := audit.Verify(&out, audit.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Records != 6 || len(report.Writers) != 2 {
		t.Errorf("report %+v", report)
	}
}

func TestStdoutRefusesToGoOnAfterAHole(t *testing.T) {
	w := audit.NewStdout(brokenPipe{}, "operator", testclock.NewFakeClock(start))
	for range 2 {
		if err := w.Write(t.Context(), audit.Record{Type: audit.TypeSnapshotProgrammed}); err == nil {
			t.Fatal("a record that was not written was accepted")
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestSignerNeedsAKey(t *testing.T) {
	if _, err := audit.NewSigner([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\u00e9"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		once, err := audit.Canonical(in)
		if err != nil {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%q became %q, which is not JSON", in, once)
		}
		twice, err := audit.Canonical(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q, then %q, %v", once, twice, err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	head := audit.Head{Writer: "w"}
	s, _ := head.Append(audit.Record{Type: audit.TypeUserSignedOut}, start)
	f.Add(s.Line)
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := audit.Verify(bytes.NewReader(in), audit.VerifyOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestIDsSortAsTheChainDoes: an export is in the order of IDs, and must be in that of the chain to be verified. Records of one transaction share its time,
// and a transaction that began earlier may commit later.
func TestIDsSortAsTheChainDoes(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	head, last := audit.Head{Writer: "w"}, ""
	for i := range 300 {
		at := now.Add(time.Duration(i/100) * time.Microsecond)
		if i%7 == 0 {
			at = at.Add(-time.Second)
		}
		sealed, err := head.Append(audit.Record{Type: audit.TypeUserSignedOut}, at)
		if err != nil {
			t.Fatal(err)
		}
		if sealed.ID <= last {
			t.Fatalf("record %d: %s is not after %s", i, sealed.ID, last)
		}
		last = sealed.ID
	}
}
