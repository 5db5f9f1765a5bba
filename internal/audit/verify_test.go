package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

// makeLog writes chains of two writers, interleaved, with a checkpoint every 50 records that names the other chain too, and a closing one.
func makeLog(t testing.TB, records int) []string {
	t.Helper()
	signer := testSigner(t)
	heads := []*audit.Head{{Writer: "a"}, {Writer: "b"}}
	var out []string
	add := func(h *audit.Head, r audit.Record, at time.Time) {
		s, err := h.Append(r, at)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(s.Line))
	}
	seal := func(i int, closing bool, at time.Time) {
		r, err := signer.Checkpoint(*heads[i], []audit.Head{*heads[1-i]}, closing, at)
		if err != nil {
			t.Fatal(err)
		}
		add(heads[i], r, at)
	}
	for n := range records {
		at := start.Add(time.Duration(n) * time.Second)
		i := n % 2
		add(heads[i], audit.Record{Type: audit.TypeUserSignedInSAML, Actor: audit.Actor{Kind: audit.ActorUser, Email: fmt.Sprintf("user%d@example.com", n)}, Details: audit.SignIn{IdP: "okta"}}, at)
		if n%100 >= 98 {
			seal(i, false, at)
		}
	}
	end := start.Add(time.Duration(records) * time.Second)
	seal(0, true, end)
	seal(1, true, end)
	return out
}

func verify(t testing.TB, lines []string, o audit.VerifyOptions) *audit.Report {
	t.Helper()
	if o.Keys == nil {
		o.Keys = []ed25519.PublicKey{testSigner(t).Public()}
	}
	r, err := audit.Verify(strings.NewReader(strings.Join(lines, "\n")+"\n"), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestIntactLogVerifies(t *testing.T) {
	lines := makeLog(t, 1000)
	r := verify(t, lines, audit.VerifyOptions{Whole: true})
	if !r.OK() || r.Records != int64(len(lines)) || r.Checkpoints != 22 || !r.Signed || len(r.Writers) != 2 || !r.Writers[0].Closed {
		t.Errorf("report %+v", r)
	}
	// One writer after the other, as an export from the store does it.
	byWriter := slices.Clone(lines)
	slices.SortStableFunc(byWriter, func(x, y string) int { return strings.Compare(writerOf(x), writerOf(y)) })
	if r := verify(t, byWriter, audit.VerifyOptions{Whole: true}); !r.OK() {
		t.Errorf("by writer: %v", r.Findings)
	}
	// A part from the middle to the end.
	if r := verify(t, lines[437:], audit.VerifyOptions{}); !r.OK() {
		t.Errorf("a part: %v", r.Findings)
	}
	// A sink that delivers a batch twice.
	twice := slices.Concat(lines[:300], lines[200:300], lines[300:])
	if r := verify(t, twice, audit.VerifyOptions{}); !r.OK() || r.Repeated != 100 {
		t.Errorf("repeated: %d, %v", r.Repeated, r.Findings)
	}
	// A pipeline that lays JSON out anew.
	anew := slices.Clone(lines)
	for i, l := range anew {
		at := strings.LastIndex(l, `,"hash"`)
		anew[i] = `{ "hash": ` + strings.TrimSuffix(l[at+len(`,"hash":`):], "}") + `, ` + strings.ReplaceAll(l[1:at], `","`, `", "`) + ` }`
	}
	if r := verify(t, anew, audit.VerifyOptions{}); !r.OK() {
		t.Errorf("laid out anew: %v", r.Findings)
	}
}

func writerOf(line string) string {
	r, _ := audit.ParseLine([]byte(line))
	return r.Writer
}

func TestTamperingIsFoundAndLocated(t *testing.T) {
	lines := makeLog(t, 1000)
	// at is the index of a plain record in the middle, check that of a checkpoint.
	at := 500
	check := slices.IndexFunc(lines[at:], func(l string) bool { return strings.Contains(l, "audit_checkpoint") }) + at
	parse := func(i int) audit.Record {
		r, err := audit.ParseLine([]byte(lines[i]))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	victim := parse(at)
	without := func(drop ...int) []string {
		var out []string
		for i, l := range lines {
			if !slices.Contains(drop, i) {
				out = append(out, l)
			}
		}
		return out
	}
	with := func(i int, line string) []string {
		out := slices.Clone(lines)
		out[i] = line
		return out
	}
	// rechain rewrites everything of a writer from a record on, consistently, as somebody with write access and no key would.
	rechain := func(keepCheckpoints bool) []string {
		head := audit.Head{Writer: victim.Writer, Sequence: victim.Sequence - 1, Hash: victim.PreviousHash}
		var out []string
		for i, l := range lines {
			r := parse(i)
			if r.Writer != victim.Writer || r.Sequence < victim.Sequence {
				out = append(out, l)
				continue
			}
			if r.Type == audit.TypeAuditCheckpoint && !keepCheckpoints {
				continue
			}
			if i == at {
				r.Actor.Email = "nobody@example.com"
			}
			r.Time = r.Time.UTC()
			s, err := head.Append(r, r.Time)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(s.Line))
		}
		return out
	}
	forge := func() string {
		other, err := audit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		c := parse(check)
		r, err := other.Checkpoint(audit.Head{Writer: c.Writer, Sequence: c.Sequence - 1, Hash: c.PreviousHash}, nil, false, c.Time)
		if err != nil {
			t.Fatal(err)
		}
		head := audit.Head{Writer: c.Writer, Sequence: c.Sequence - 1, Hash: c.PreviousHash}
		s, err := head.Append(r, c.Time)
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Line)
	}
	extra, err := (&audit.Head{Writer: victim.Writer, Sequence: victim.Sequence - 1, Hash: victim.PreviousHash}).Append(audit.Record{Type: audit.TypeUserResumed}, victim.Time)
	if err != nil {
		t.Fatal(err)
	}
	swapped := slices.Clone(lines)
	swapped[at], swapped[at+2] = swapped[at+2], swapped[at]
	ofWriter := func(name string) (out []int) {
		for i := range lines {
			if parse(i).Writer == name {
				out = append(out, i)
			}
		}
		return out
	}
	lastOf := ofWriter(victim.Writer)
	// The end of one chain goes, down to an earlier checkpoint of it: what is left looks whole.
	cut := len(lastOf) - 1
	for cut--; parse(lastOf[cut]).Type != audit.TypeAuditCheckpoint; cut-- {
	}
	cases := []struct {
		name  string
		lines []string
		o     audit.VerifyOptions
		kind  audit.FindingKind
		seq   uint64
		line  int64
	}{
		{"flip of a value", with(at, strings.Replace(lines[at], "okta", "evil", 1)), audit.VerifyOptions{}, audit.FindingChanged, victim.Sequence, int64(at + 1)},
		{"flip of the hash", with(at, strings.Replace(lines[at], victim.Hash[:8], "00000000", 1)), audit.VerifyOptions{}, audit.FindingChanged, victim.Sequence, int64(at + 1)},
		{"flip without keys", with(at, strings.Replace(lines[at], "okta", "evil", 1)), audit.VerifyOptions{Keys: []ed25519.PublicKey{}}, audit.FindingChanged, victim.Sequence, int64(at + 1)},
		{"deletion", without(at), audit.VerifyOptions{}, audit.FindingMissing, victim.Sequence, int64(at + 2)},
		{"deletion of three", without(at, at+2, at+4), audit.VerifyOptions{}, audit.FindingMissing, victim.Sequence, int64(at + 4)},
		{"deletion of a checkpoint", without(check), audit.VerifyOptions{}, audit.FindingMissing, parse(check).Sequence, 0},
		{"insertion", slices.Insert(slices.Clone(lines), at+1, string(extra.Line)), audit.VerifyOptions{}, audit.FindingInserted, victim.Sequence, int64(at + 2)},
		{"replacement", with(at, string(extra.Line)), audit.VerifyOptions{}, audit.FindingReplaced, victim.Sequence + 1, int64(at + 3)},
		{"reorder", swapped, audit.VerifyOptions{}, audit.FindingReordered, victim.Sequence, int64(at + 3)},
		{"rewritten to the end", rechain(true), audit.VerifyOptions{}, audit.FindingForged, parse(check).Sequence, 0},
		{"rewritten without checkpoints", rechain(false), audit.VerifyOptions{}, audit.FindingTruncated, 0, 0},
		{"forged checkpoint", with(check, forge()), audit.VerifyOptions{}, audit.FindingForged, parse(check).Sequence, int64(check + 1)},
		{"duplicate member", with(at, strings.Replace(lines[at], `{"actor"`, `{"type":"user_resumed","actor"`, 1)), audit.VerifyOptions{}, audit.FindingMalformed, 0, int64(at + 1)},
		{"garbage", with(at, "garbage"), audit.VerifyOptions{}, audit.FindingMalformed, 0, int64(at + 1)},
		{"too long", with(at, strings.Repeat("x", 3<<20)), audit.VerifyOptions{}, audit.FindingMalformed, 0, int64(at + 1)},
		{"end cut off", without(lastOf[len(lastOf)-3:]...), audit.VerifyOptions{}, audit.FindingTruncated, 0, 0},
		{"end cut off at a checkpoint", without(lastOf[cut+1:]...), audit.VerifyOptions{}, audit.FindingTruncated, parse(lastOf[cut]).Sequence, 0},
		{"a writer taken out", without(ofWriter("b")...), audit.VerifyOptions{Whole: true}, audit.FindingTruncated, 0, 0},
		{
			"both ends cut off, the end known", lines[:700],
			audit.VerifyOptions{OpenEnd: true, Heads: []audit.Head{{Writer: "a", Sequence: 510, Hash: victim.Hash}}}, audit.FindingTruncated, 0, 0,
		},
		{
			"the known end has another hash", lines,
			audit.VerifyOptions{Heads: []audit.Head{{Writer: victim.Writer, Sequence: victim.Sequence, Hash: strings.Repeat("0", 64)}}}, audit.FindingReplaced, victim.Sequence, int64(at + 1),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := verify(t, c.lines, c.o)
			if r.OK() || len(r.Findings) == 0 {
				t.Fatal("nothing was found")
			}
			i := slices.IndexFunc(r.Findings, func(f audit.Finding) bool { return f.Kind == c.kind })
			if i < 0 {
				t.Fatalf("no %s in %v", c.kind, r.Findings)
			}
			if f := r.Findings[i]; (c.seq != 0 && f.Sequence != c.seq) || (c.line != 0 && f.Line != c.line) {
				t.Errorf("located at %s, want record %d, line %d", f, c.seq, c.line)
			}
		})
	}
}

// TestEverySingleByteCounts flips each byte of one record in turn: every flip is found.
func TestEverySingleByteCounts(t *testing.T) {
	lines := makeLog(t, 20)
	for i := range lines[5] {
		changed := []byte(lines[5])
		changed[i] ^= 1
		bad := slices.Clone(lines)
		bad[5] = string(changed)
		if r := verify(t, bad, audit.VerifyOptions{}); r.OK() {
			t.Errorf("byte %d: %q for %q was not found", i, changed[i], lines[5][i])
		}
	}
}

func TestUnsealedEndMayBeYoung(t *testing.T) {
	lines := makeLog(t, 60)
	lines = lines[:len(lines)-2]
	end := start.Add(60 * time.Second)
	if r := verify(t, lines, audit.VerifyOptions{Now: end.Add(30 * time.Second)}); !r.OK() {
		t.Errorf("young: %v", r.Findings)
	}
	if r := verify(t, lines, audit.VerifyOptions{Now: end.Add(10 * time.Minute)}); r.OK() {
		t.Error("an old end without a checkpoint was accepted")
	}
	if r := verify(t, lines, audit.VerifyOptions{OpenEnd: true}); !r.OK() {
		t.Errorf("open: %v", r.Findings)
	}
}

// TestAKilledWriterIsVouchedForByAnother: a pod that was killed leaves an end without a checkpoint for ever. Another pod that names the same end later than any
// living writer leaves records unsealed vouches for it; one that names it too early, another end or another hash does not.
func TestAKilledWriterIsVouchedForByAnother(t *testing.T) {
	signer := testSigner(t)
	killed, other := audit.Head{Writer: "killed"}, audit.Head{Writer: "other"}
	var lines []string
	add := func(h *audit.Head, r audit.Record, at time.Time) {
		s, err := h.Append(r, at)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(s.Line))
	}
	for n := range 3 {
		add(&killed, audit.Record{Type: audit.TypeUserSignedOut}, start.Add(time.Duration(n)*time.Second))
	}
	end := start.Add(2 * time.Second)
	with := func(h audit.Head, after time.Duration) []string {
		before, head := slices.Clone(lines), other
		r, err := signer.Checkpoint(head, []audit.Head{h}, true, end.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		add(&head, r, end.Add(after))
		out := lines
		lines = before
		return out
	}
	add(&other, audit.Record{Type: audit.TypeUserSignedOut}, end)
	later := audit.VerifyOptions{Now: end.Add(time.Hour)}

	vouched := with(killed, 2*time.Minute)
	if r := verify(t, vouched, later); !r.OK() {
		t.Errorf("vouched for: %v", r.Findings)
	}
	first := slices.Concat(vouched[3:], vouched[:3]) // exported by writer, the other one first
	if r := verify(t, first, later); !r.OK() {
		t.Errorf("vouched for before it was read: %v", r.Findings)
	}
	if r := verify(t, with(killed, 30*time.Second), later); r.OK() {
		t.Error("an end was accepted that was named while more could follow")
	}
	if r := verify(t, slices.Delete(slices.Clone(vouched), 2, 3), later); r.OK() {
		t.Error("the last record was cut off, and nobody noticed")
	}
	wrong := killed
	wrong.Hash = strings.Repeat("0", len(wrong.Hash))
	if r := verify(t, with(wrong, 2*time.Minute), later); r.OK() {
		t.Error("an end of another hash was accepted")
	}
}

// TestAnEndThatAClockHasDatedAheadIsJudgedByOthers: it is not young for a year, and once others have named it for longer than a writer that lives leaves records
// unsealed, it is the end of one that was killed.
func TestAnEndThatAClockHasDatedAheadIsJudgedByOthers(t *testing.T) {
	signer := testSigner(t)
	killed, other := audit.Head{Writer: "killed"}, audit.Head{Writer: "other"}
	var lines []string
	add := func(h *audit.Head, r audit.Record, at time.Time) {
		s, err := h.Append(r, at)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(s.Line))
	}
	add(&killed, audit.Record{Type: audit.TypeUserSignedOut}, start.AddDate(1, 0, 0))
	named := func(at time.Time) *audit.Report {
		r, err := signer.Checkpoint(other, []audit.Head{killed}, true, at)
		if err != nil {
			t.Fatal(err)
		}
		add(&other, r, at)
		later := audit.VerifyOptions{Now: at.Add(time.Second)}
		byWriter := slices.Concat(lines[1:], lines[:1])
		if a, b := verify(t, lines, later), verify(t, byWriter, later); a.OK() != b.OK() {
			t.Errorf("the order decides: %v, %v", a.Findings, b.Findings)
		}
		return verify(t, lines, later)
	}
	if named(start).OK() || named(start.Add(time.Minute)).OK() {
		t.Error("an end of the future is taken as young")
	}
	if r := named(start.Add(2 * time.Minute)); !r.OK() {
		t.Errorf("%v", r.Findings)
	}
}

func TestRemovedCheckpointsOfALongChainAreNoticed(t *testing.T) {
	head := audit.Head{Writer: "a"}
	var lines []string
	for range 1500 {
		s, err := head.Append(audit.Record{Type: audit.TypeUserSignedOut}, start)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(s.Line))
	}
	r := verify(t, lines, audit.VerifyOptions{OpenEnd: true})
	if len(r.Findings) != 1 || r.Findings[0].Kind != audit.FindingUnsealed || r.Findings[0].Sequence != 1001 {
		t.Errorf("findings %v", r.Findings)
	}
}

func BenchmarkVerify(b *testing.B) {
	text := strings.Join(makeLog(b, 100_000), "\n")
	b.SetBytes(int64(len(text)))
	key := testSigner(b).Public()
	for b.Loop() {
		r, err := audit.Verify(strings.NewReader(text), audit.VerifyOptions{Keys: []ed25519.PublicKey{key}})
		if err != nil || !r.OK() {
			b.Fatal(err, r.Findings)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*10, "s/1M-records")
}

func BenchmarkAppend(b *testing.B) {
	head := audit.Head{Writer: "a"}
	r := audit.Record{Type: audit.TypeUserSignedInSAML, Actor: audit.Actor{Kind: audit.ActorUser, Email: "alice@example.com"}, Details: audit.SignIn{IdP: "okta"}}
	for b.Loop() {
		if _, err := head.Append(r, start); err != nil {
			b.Fatal(err)
		}
	}
}
