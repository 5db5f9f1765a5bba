package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// VerifyOptions say what the verifier may rely on.
type VerifyOptions struct {
	// Keys verify checkpoints. Without any, chains are checked but anybody who can write the log could have rewritten it: Report.Signed is false.
	Keys []ed25519.PublicKey
	// Heads are ends that the caller knows from elsewhere, such as the store or an earlier run: every one must be reached.
	Heads []Head
	// Whole says that the stream is the whole log: a writer that a checkpoint names must be in it.
	Whole bool
	// Beginning says that nothing older than the stream is kept elsewhere: each chain must begin with its first record, or where a retention record says.
	Beginning bool
	// Firsts says that the stream is the part of the log that Heads ends: each of those chains must begin with this record or an earlier one, or where a retention record
	// says. What checkpoints in it say about records after the part is not looked at.
	Firsts map[string]uint64
	// OpenEnd accepts chains that end without a checkpoint, because the stream was cut at a time of the caller's choice.
	OpenEnd bool
	// Live says that retention may have gone on while the stream was read from the store: records in the middle that it has removed by now are not missing.
	Live bool
	// Now judges whether an unsealed end is just young; zero means that any unsealed end is a finding, unless OpenEnd.
	Now time.Time
	// MaxFindings bounds Report.Findings; default 1,000. Report.Faults counts on.
	MaxFindings int
}

// WriterReport is one chain of the stream.
type WriterReport struct {
	Writer      string `json:"writer"`
	First       uint64 `json:"first"`
	Last        uint64 `json:"last"`
	Checkpoints int    `json:"checkpoints"`
	// Unsealed is how many records follow the last checkpoint.
	Unsealed uint64 `json:"unsealed"`
	// Closed says that the writer ended in good order.
	Closed bool `json:"closed"`
}

// Report is what Verify found.
type Report struct {
	Records     int64 `json:"records"`
	Checkpoints int64 `json:"checkpoints"`
	// Repeated counts records that came twice, byte for byte: sinks deliver at least once.
	Repeated int64          `json:"repeated,omitempty"`
	Signed   bool           `json:"signed"`
	Writers  []WriterReport `json:"writers"`
	Findings []Finding      `json:"findings"`
	Faults   int64          `json:"faults"`
}

// OK says that nothing is wrong.
func (r *Report) OK() bool { return r.Faults == 0 }

// Verify reads records, one JSON object on each line, of any number of writers in any interleaving, and reports every change, removal, insertion, reorder,
// truncation and forged checkpoint with its place. Memory is bounded by the number of writers. The error is only about reading the stream.
func Verify(stream io.Reader, o VerifyOptions) (*Report, error) {
	v := newVerifier(o)
	lines := bufio.NewReaderSize(stream, 1<<20)
	for {
		line, err := readLine(lines)
		if len(line) > 0 || err == nil {
			v.line(line)
		}
		if errors.Is(err, io.EOF) {
			return v.finish(), nil
		}
		if err != nil {
			return v.finish(), err
		}
	}
}

// readLine reads up to the line break, which it leaves out. A line longer than a record can be is cut, which makes it malformed, and skipped to its end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line == nil && err == nil {
			return bytes.TrimRight(part, "\r\n"), nil
		}
		if len(line) <= maxRecord {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

type verifier struct {
	o       VerifyOptions
	keys    *keyring
	report  Report
	writers map[string]*chainState
	number  int64
	// claims are ends that were named before the chain reached them.
	claims map[string][]claim
	// beginnings are the last records that retention has removed, by writer.
	beginnings map[string]Head
}

// recentHashes is how far back a repeated record is recognised.
const recentHashes = 1024

type hash [32]byte

func parseHash(s string) (h hash) {
	_, _ = hex.Decode(h[:], []byte(s)) // what is no hexadecimal equals nothing
	return h
}

// chainState is what the verifier remembers of one writer.
type chainState struct {
	WriterReport
	hash string
	// firstLine and firstPrevious are of the first record that came.
	firstLine     int64
	firstPrevious string
	recent        []hash
	gaps          []gap
	lastTime      string
	// vouched is the last record that other writers' checkpoints have named as the end, vouchedFrom and vouchedAt when the first and the last of them did.
	vouched                uint64
	vouchedFrom, vouchedAt time.Time
}

type gap struct {
	from, to uint64
	line     int64
	// hash is that of the last record in it, as the record after it says.
	hash string
}

func newVerifier(o VerifyOptions) *verifier {
	if o.MaxFindings == 0 {
		o.MaxFindings = 1000
	}
	v := &verifier{o: o, keys: newKeyring(o.Keys), writers: map[string]*chainState{}, claims: map[string][]claim{}, beginnings: map[string]Head{}}
	v.report.Signed = len(o.Keys) > 0
	for _, h := range o.Heads {
		v.claims[h.Writer] = append(v.claims[h.Writer], claim{Head: h, by: "the end that is known from elsewhere"})
	}
	return v
}

func (v *verifier) find(f Finding) {
	v.report.Faults++
	if len(v.report.Findings) < v.o.MaxFindings {
		v.report.Findings = append(v.report.Findings, f)
	}
}

// link is the part of a record that the chain is made of.
type link struct {
	Writer       string          `json:"writer"`
	Sequence     uint64          `json:"sequence"`
	PreviousHash string          `json:"previousHash"`
	Type         string          `json:"type"`
	Time         string          `json:"time"`
	Hash         string          `json:"hash"`
	Details      json.RawMessage `json:"details"`
}

func (v *verifier) line(line []byte) {
	v.number++
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	var l link
	intact := false
	err := json.Unmarshal(line, &l)
	if err == nil {
		intact, err = hashes(line, l.Hash)
	}
	if err == nil && (l.Writer == "" || l.Sequence == 0 || len(l.Hash) != 2*len(hash{})) {
		err = errors.New("no writer, sequence or hash")
	}
	if err != nil {
		v.find(Finding{Kind: FindingMalformed, Line: v.number, Message: "not an audit record: " + err.Error()})
		return
	}
	v.report.Records++
	at := Finding{Line: v.number, Writer: l.Writer, Sequence: l.Sequence}
	s := v.writers[l.Writer]
	if s == nil {
		s = &chainState{WriterReport: WriterReport{Writer: l.Writer, First: l.Sequence}, firstLine: v.number, firstPrevious: l.PreviousHash, recent: make([]hash, recentHashes)}
		v.writers[l.Writer] = s
	}
	if !intact {
		at.Kind, at.Message = FindingChanged, "the content does not give the hash that the record carries"
		v.find(at)
	}
	if !v.place(s, l, at, intact) {
		return
	}
	if l.Type == typeTable[TypeAuditCheckpoint].name {
		v.checkpoint(s, l, at)
		return
	}
	if l.Type == typeTable[TypeAuditRetentionApplied].name && intact {
		v.retention(l, at)
	}
	v.unsealed(s, at)
}

// place puts a record into its chain. It is false for one that is not the newest: that one says nothing more.
func (v *verifier) place(s *chainState, l link, at Finding, intact bool) bool {
	switch {
	case s.Last == 0:
		if l.Sequence == 1 && l.PreviousHash != "" {
			at.Kind, at.Message = FindingReplaced, "the first record of a chain names a record before it"
			v.find(at)
		}
	case l.Sequence == s.Last+1:
		if l.PreviousHash != s.hash && !s.gapBefore(l.Sequence) {
			at.Kind, at.Message = FindingReplaced, fmt.Sprintf("it does not follow record %d: one of the two was replaced", s.Last)
			v.find(at)
		}
	case l.Sequence > s.Last:
		s.gaps = append(s.gaps, gap{s.Last + 1, l.Sequence - 1, v.number, l.PreviousHash})
	default:
		v.late(s, l, at, intact)
		return false
	}
	s.Last, s.hash, s.lastTime = l.Sequence, l.Hash, l.Time
	s.recent[l.Sequence%recentHashes] = parseHash(l.Hash)
	v.meet(s, l)
	return true
}

// gapBefore says that records right before a sequence number are missing, so that its link proves nothing.
func (s *chainState) gapBefore(sequence uint64) bool {
	return len(s.gaps) > 0 && s.gaps[len(s.gaps)-1].to == sequence-1
}

// late judges a record that comes after a later one.
func (v *verifier) late(s *chainState, l link, at Finding, intact bool) {
	for i, g := range s.gaps {
		if l.Sequence < g.from || l.Sequence > g.to {
			continue
		}
		at.Kind, at.Message = FindingReordered, fmt.Sprintf("it comes after record %d", s.Last)
		v.find(at)
		s.gaps = slices.Delete(s.gaps, i, i+1)
		if l.Sequence > g.from {
			s.gaps = append(s.gaps, gap{g.from, l.Sequence - 1, g.line, l.PreviousHash})
		}
		if l.Sequence < g.to {
			s.gaps = append(s.gaps, gap{l.Sequence + 1, g.to, g.line, g.hash})
		}
		return
	}
	if s.Last-l.Sequence < recentHashes && intact && s.recent[l.Sequence%recentHashes] == parseHash(l.Hash) {
		v.report.Repeated++
		return
	}
	at.Kind, at.Message = FindingInserted, fmt.Sprintf("a second record %d; the chain is at %d", l.Sequence, s.Last)
	v.find(at)
}

func (v *verifier) checkpoint(s *chainState, l link, at Finding) {
	v.report.Checkpoints++
	s.Checkpoints++
	s.Unsealed = 0
	var c Checkpoint
	if err := json.Unmarshal(l.Details, &c); err != nil {
		at.Kind, at.Message = FindingForged, "the details are not a checkpoint: "+err.Error()
		v.find(at)
		return
	}
	s.Closed = c.Closing
	if v.report.Signed {
		if err := c.verify(v.keys); err != nil {
			at.Kind, at.Message = FindingForged, err.Error()
			v.find(at)
			return
		}
	}
	if c.Head.Writer != l.Writer || c.Head.Sequence != l.Sequence-1 || c.Head.Hash != l.PreviousHash {
		at.Kind = FindingForged
		at.Message = fmt.Sprintf("it was signed over record %d of %s with another hash: the records before it were rewritten", c.Head.Sequence, c.Head.Writer)
		v.find(at)
		return
	}
	made, _ := time.Parse(timeLayout, c.Time) // what is no time vouches for nothing
	v.keys.use(c.KeyID, made, at)
	for _, other := range c.Others {
		v.claim(claim{other, fmt.Sprintf("the checkpoint of %s, record %d", l.Writer, l.Sequence), made, made})
	}
}

// unsealedMost is how many records a writer leaves between checkpoints, with room for one transaction that is already under way.
const unsealedMost = CheckpointEvery + 1

func (v *verifier) unsealed(s *chainState, at Finding) {
	s.Closed = false
	if s.Unsealed++; s.Unsealed == unsealedMost && v.report.Signed {
		at.Kind, at.Message = FindingUnsealed, fmt.Sprintf("%d records without a checkpoint, at most %d: checkpoints were removed", s.Unsealed, CheckpointEvery)
		v.find(at)
	}
}

func (v *verifier) finish() *Report {
	names := make([]string, 0, len(v.writers))
	for name := range v.writers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := v.writers[name]
		slices.SortFunc(s.gaps, func(a, b gap) int { return int(a.line - b.line) })
		for _, g := range s.gaps {
			if v.removed(name, g) {
				continue
			}
			v.find(Finding{Kind: FindingMissing, Line: g.line, Writer: name, Sequence: g.from, Message: fmt.Sprintf("records %d to %d are missing before this line", g.from, g.to)})
		}
		v.beginning(s)
		v.end(s)
		v.report.Writers = append(v.report.Writers, s.WriterReport)
	}
	for _, name := range sortedClaims(v.claims) {
		for _, c := range v.claims[name] {
			told := strings.HasPrefix(c.by, "the end") // by the caller, and not by a checkpoint
			if v.o.Firsts != nil && !told {
				continue // Heads say how far the part goes
			}
			if s := v.writers[name]; s != nil && c.Sequence > s.Last {
				v.find(Finding{Kind: FindingTruncated, Writer: name, Sequence: s.Last, Message: fmt.Sprintf("the chain ends here, but %s knows record %d", c.by, c.Sequence)})
				break
			} else if s == nil && (v.o.Whole || told) {
				v.find(Finding{Kind: FindingTruncated, Writer: name, Message: fmt.Sprintf("there is no record of this writer, but %s knows record %d", c.by, c.Sequence)})
				break
			}
		}
	}
	for _, writer := range slices.Sorted(maps.Keys(v.beginnings)) {
		if v.o.Whole && v.writers[writer] == nil {
			v.find(Finding{Kind: FindingTruncated, Writer: writer, Message: fmt.Sprintf("there is no record of this writer, but retention has left those after record %d", v.beginnings[writer].Sequence)})
		}
	}
	for _, f := range v.keys.overused() {
		v.find(f)
	}
	return &v.report
}

// end judges the end of a chain: without a checkpoint of its own it must be young, or another writer has named it as the end when a writer that lives
// would have sealed it. That is how a writer ends that was killed. Where its clock was ahead, others have named it for as long as that takes by theirs.
func (v *verifier) end(s *chainState) {
	if s.Unsealed == 0 || !v.report.Signed || v.o.OpenEnd {
		return
	}
	if at, err := time.Parse(time.RFC3339Nano, s.lastTime); err == nil {
		young := !v.o.Now.IsZero() && v.o.Now.Sub(at).Abs() < 2*CheckpointInterval
		vouched := s.vouched == s.Last && (s.vouchedAt.Sub(at) >= CheckpointInterval || s.vouchedAt.Sub(s.vouchedFrom) >= 2*CheckpointInterval)
		if young || vouched {
			return
		}
	}
	v.find(Finding{
		Kind: FindingTruncated, Writer: s.Writer, Sequence: s.Last,
		Message: fmt.Sprintf("the chain ends with %d records after the last checkpoint: its end was cut off, or the writer died", s.Unsealed),
	})
}
