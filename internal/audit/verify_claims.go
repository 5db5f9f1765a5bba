package audit

import (
	"slices"
	"time"
)

// claim is an end of a chain that somebody names.
type claim struct {
	Head
	by string
	// made is when the newest checkpoint was made that says so, first when the first one was; zero for an end that the caller knows.
	made, first time.Time
}

// vouch notes that a checkpoint made then names the newest record as the end.
func (s *chainState) vouch(made time.Time) {
	if made.IsZero() {
		return
	}
	if s.vouched != s.Last {
		s.vouched, s.vouchedFrom, s.vouchedAt = s.Last, made, made
	}
	if made.After(s.vouchedAt) {
		s.vouchedAt = made
	}
	if made.Before(s.vouchedFrom) {
		s.vouchedFrom = made
	}
}

// meet compares a record with the ends that were named before it came.
func (v *verifier) meet(s *chainState, l link) {
	claims := v.claims[s.Writer]
	if len(claims) == 0 {
		return
	}
	v.claims[s.Writer] = slices.DeleteFunc(claims, func(c claim) bool {
		if c.Sequence != l.Sequence {
			return c.Sequence < l.Sequence
		}
		if c.Hash != l.Hash {
			v.find(Finding{Kind: FindingReplaced, Line: v.number, Writer: s.Writer, Sequence: l.Sequence, Message: "its hash is not the one in " + c.by})
		} else {
			s.vouch(c.first)
			s.vouch(c.made)
		}
		return true
	})
}

// claim holds what a checkpoint says of another chain against what was seen, or keeps it for later.
func (v *verifier) claim(h claim) {
	s := v.writers[h.Writer]
	switch {
	case s == nil || h.Sequence > s.Last:
		claims := v.claims[h.Writer]
		// Only the farthest end matters for truncation, and the newest of each sequence number for its hash.
		if i := slices.IndexFunc(claims, func(c claim) bool { return c.Sequence == h.Sequence && c.Hash == h.Hash }); i >= 0 {
			if claims[i].made = h.made; claims[i].first.IsZero() {
				claims[i].first = h.made
			}
		} else if len(claims) < 1000 {
			v.claims[h.Writer] = append(claims, h)
		}
	case h.Sequence == s.Last && h.Hash == s.hash:
		s.vouch(h.made)
	case h.Sequence >= s.First && s.Last-h.Sequence < recentHashes:
		if seen := s.recent[h.Sequence%recentHashes]; seen != (hash{}) && seen != parseHash(h.Hash) {
			v.find(Finding{Kind: FindingReplaced, Writer: h.Writer, Sequence: h.Sequence, Message: "its hash is not the one in " + h.by})
		}
	}
}

func sortedClaims(m map[string][]claim) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
