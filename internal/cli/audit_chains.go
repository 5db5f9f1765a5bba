package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strconv"
)

// rounds bounds how often reading goes on because retention was there meanwhile: it comes by once an hour.
const rounds = 10

// chainReader writes the lines of chains as they are in the store.
type chainReader struct {
	served
	out io.Writer
	// part selects the part of the chains that is read.
	part     url.Values
	progress *progress
	records  int
	// read is the last record of each chain that was written.
	read map[string]uint64
}

// whole writes every chain up to its end of now. Where retention has removed beginnings meanwhile, it reads on up to the ends of then: the records that say so
// are there, and without them a chain that begins later, or has a gap, would look tampered with.
func (r *chainReader) whole(ctx context.Context, now *proof) error {
	defer r.progress.done()
	for range rounds {
		if err := r.through(ctx, now.Heads); err != nil {
			return err
		}
		later := &proof{}
		if err := r.heads(ctx, r.part, later); err != nil {
			return err
		}
		if !now.retained(later) {
			return nil
		}
		now = later
	}
	return nil
}

// retained says that retention has removed records between two times.
func (p *proof) retained(later *proof) bool {
	return slices.ContainsFunc(later.Heads, func(l chainEnds) bool {
		i := slices.IndexFunc(p.Heads, func(e chainEnds) bool { return e.Writer == l.Writer })
		return i >= 0 && l.First > p.Heads[i].First
	})
}

// beginAs takes over where chains begin later, and leaves out those of which retention has left nothing.
func (p *proof) beginAs(later *proof) {
	kept := p.Heads[:0]
	for _, e := range p.Heads {
		if i := slices.IndexFunc(later.Heads, func(l chainEnds) bool { return l.Writer == e.Writer }); i >= 0 {
			e.First = max(e.First, later.Heads[i].First)
			kept = append(kept, e)
		}
	}
	p.Heads = kept
}

// through writes what is not written yet, one chain after the other.
func (r *chainReader) through(ctx context.Context, chains []chainEnds) error {
	for _, c := range chains {
		after, begun := r.read[c.Writer]
		if !begun {
			after = max(c.First, 1) - 1
		}
		for after < c.Sequence {
			last, n, err := r.chainPage(ctx, c.Writer, after, int(min(10_000, c.Sequence-after)), r.out)
			if err != nil {
				return err
			}
			if n == 0 {
				break // the end is missing: the verifier says so
			}
			after = last
			r.records += n
			r.progress.show("%d records", r.records)
		}
		r.read[c.Writer] = after
	}
	return nil
}

// chainPage writes some lines of a chain and returns the number of the last one and how many there were.
func (s served) chainPage(ctx context.Context, writer string, after uint64, limit int, w io.Writer) (last uint64, n int, err error) {
	query := url.Values{"writer": {writer}, "after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	response, err := s.Stream(ctx, "/audit/chain", query)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	var newest []byte
	err = eachLine(response.Body, func(line []byte) error {
		n++
		newest = append(append(newest[:0], line...), '\n')
		_, err := w.Write(newest)
		return err
	})
	if err != nil || n == 0 {
		return 0, 0, err
	}
	var r struct {
		Sequence uint64 `json:"sequence"`
	}
	if json.Unmarshal(newest, &r) != nil || r.Sequence <= after {
		// What was tampered with so that it cannot be read further is for the verifier, which has the line by now.
		return after + uint64(n), n, nil
	}
	return r.Sequence, n, nil
}
