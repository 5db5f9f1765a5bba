package audit_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func succeed(t testing.TB, previous, next ed25519.PrivateKey, at time.Time) audit.Succession {
	t.Helper()
	s, err := audit.Succeed(previous, next.Public().(ed25519.PublicKey), at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sealedBy is a chain that each signer seals in turn, at its time.
func sealedBy(t testing.TB, writer string, seals ...seal) (lines []string) {
	t.Helper()
	head := audit.Head{Writer: writer}
	for _, s := range seals {
		for _, r := range []audit.Record{{Type: audit.TypeUserSignedOut, Time: s.at}, {}} {
			if r.Type == 0 {
				var err error
				if r, err = s.by.Checkpoint(head, nil, false, s.at); err != nil {
					t.Fatal(err)
				}
			}
			line, err := head.Append(r, s.at)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(line.Line))
		}
	}
	return lines
}

type seal struct {
	by *audit.Signer
	at time.Time
}

func signer(t testing.TB, key ed25519.PrivateKey, successions ...audit.Succession) *audit.Signer {
	t.Helper()
	s, err := audit.NewSigner(key, successions...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWhoPinsTheFirstKeyVerifiesWhatLaterKeysSign also across two rotations, and in whatever order the chains come.
func TestWhoPinsTheFirstKeyVerifiesWhatLaterKeysSign(t *testing.T) {
	first, second, third, foreign := newKey(t), newKey(t), newKey(t), newKey(t)
	day := 24 * time.Hour
	one, two := succeed(t, first, second, start.Add(day)), succeed(t, second, third, start.Add(2*day))
	old, now := signer(t, first), signer(t, third, one, two)
	pinned := audit.VerifyOptions{Keys: []ed25519.PublicKey{old.Public()}, OpenEnd: true}
	good := sealedBy(t, "w", seal{old, start}, seal{signer(t, second, one), start.Add(day)}, seal{old, start.Add(day + time.Hour)}, seal{now, start.Add(2 * day)})
	if r := verify(t, append(sealedBy(t, "v", seal{now, start.Add(3 * day)}), good...), pinned); !r.OK() || r.Checkpoints != 5 {
		t.Errorf("%+v", r)
	}
	// A clock that was ahead by a year, and was set back, is no key that signs on.
	if r := verify(t, sealedBy(t, "w", seal{old, start}, seal{old, start.AddDate(1, 0, 0)}, seal{now, start.Add(2 * day)}), pinned); !r.OK() {
		t.Errorf("after a jump: %+v", r.Findings)
	}
	// Of the keys of now, each knows those before it.
	if r := verify(t, good, audit.VerifyOptions{Keys: now.Keys(), OpenEnd: true}); !r.OK() {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		lines []string
		says  string
	}{
		"a key that nobody introduced":     {sealedBy(t, "w", seal{old, start}, seal{signer(t, foreign), start.Add(day)}), "is not trusted"},
		"a key that introduced itself":     {sealedBy(t, "w", seal{old, start}, seal{signer(t, foreign, succeed(t, second, foreign, start)), start}), "is not trusted"},
		"two successors":                   {append(sealedBy(t, "v", seal{signer(t, second, one), start}), sealedBy(t, "w", seal{signer(t, foreign, succeed(t, first, foreign, start)), start})...), "has introduced two others"},
		"a key that was replaced long ago": {sealedBy(t, "w", seal{now, start.Add(2 * day)}, seal{old, start.Add(day + audit.KeyGrace + time.Hour)}), "has replaced"},
	} {
		r := verify(t, c.lines, pinned)
		if len(r.Findings) != 1 || r.Findings[0].Kind != audit.FindingForged || !strings.Contains(r.Findings[0].Message, c.says) || r.Findings[0].Line == 0 {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	if _, err := audit.NewSigner(third, one); err == nil {
		t.Error("a key was taken that the keys before it do not lead to")
	}
}

// TestABeginningNeedsAReasonThatIsSigned: retention says where chains begin, and nobody else can.
func TestABeginningNeedsAReasonThatIsSigned(t *testing.T) {
	mine := testSigner(t)
	chain := sealedBy(t, "w", seal{mine, start}, seal{mine, start.Add(time.Hour)}, seal{mine, start.Add(2 * time.Hour)})
	last := func(lines []string) audit.Head {
		t.Helper()
		r, err := audit.ParseLine([]byte(lines[len(lines)-1]))
		if err != nil {
			t.Fatal(err)
		}
		return audit.Head{Writer: r.Writer, Sequence: r.Sequence, Hash: r.Hash}
	}
	stated := func(by *audit.Signer, beginnings ...audit.Head) []string {
		t.Helper()
		r, err := by.Retention(audit.Retention{Removed: 3, Beginnings: beginnings}, start.Add(3*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		head := audit.Head{Writer: "v"}
		line, err := head.Append(r, start.Add(3*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return []string{string(line.Line)}
	}
	gone := last(chain[:3])
	other := gone
	other.Hash = strings.Repeat("0", 64)
	whole := audit.VerifyOptions{Beginning: true, Whole: true, OpenEnd: true}
	for name, c := range map[string]struct {
		lines []string
		kind  audit.FindingKind
		says  string
	}{
		"nothing was removed":             {chain, "", ""},
		"retention removed three":         {append(stated(mine, gone), chain[3:]...), "", ""},
		"and says so later":               {append(chain[3:6:6], stated(mine, gone)...), "", ""},
		"nobody says why":                 {chain[3:], audit.FindingCut, "records 1 to 3 are"},
		"more is gone":                    {append(stated(mine, gone), chain[5:]...), audit.FindingCut, "records 4 to 5 were cut off"},
		"the beginning is another":        {append(stated(mine, other), chain[3:]...), audit.FindingReplaced, "does not follow"},
		"somebody else says so":           {append(stated(signer(t, newKey(t)), gone), chain[3:]...), audit.FindingForgedRetention, "is not trusted"},
		"a chain is gone that was stated": {stated(mine, gone), audit.FindingTruncated, "after record 3"},
	} {
		r := verify(t, c.lines, whole)
		if c.kind == "" {
			if !r.OK() {
				t.Errorf("%s: %+v", name, r.Findings)
			}
			continue
		}
		if len(r.Findings) == 0 || r.Findings[0].Kind != c.kind || !strings.Contains(r.Findings[0].Message, c.says) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	// Of a part of the log nothing is asked.
	if r := verify(t, chain[3:], audit.VerifyOptions{OpenEnd: true}); !r.OK() {
		t.Errorf("%+v", r.Findings)
	}
}
