package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) auditExport() *cobra.Command {
	var f auditFilter
	var file string
	var resume bool
	c := &cobra.Command{
		Use: "export", Short: "Write all records as lines of JSON, with what verifies them",
		Long: `Write the records that are committed now, oldest first, one line of JSON each, exactly as they were hashed. Memory does not grow with their number.

With --file, a second file FILE.proof gets the ends of the chains and the public keys as they are now; ` + "`kubectl sso audit verify FILE`" + ` holds the records against
it. Keep it apart from the records: whoever can change both proves nothing. With --since and --until the proof is of that part of the log. An export with another
filter has gaps and cannot be verified; it gets no proof.

--resume continues a file whose export broke off, or has become old: it reads how far the file got with each writer, and adds what is missing, each record
once, also those of the same moment and those that were committed late.`,
		Example: "  kubectl sso audit export --file audit.ndjson\n  kubectl sso audit export --file audit.ndjson --resume\n  kubectl sso audit export --since 30d --type sso_break_glass | jq .actor.id",
		Args:    exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			query, err := f.query(time.Now())
			if err != nil {
				return err
			}
			if resume && file == "" {
				return errors.New("--resume continues the file of --file: name it")
			}
			out, position, err := exportTo(command.OutOrStdout(), file, resume)
			if err != nil {
				return err
			}
			return a.open(command, func(s served) error {
				e := &exported{served: s, out: out, file: file, position: position, progress: newProgress(command.ErrOrStderr())}
				return errors.Join(e.run(command, query, f.empty()), out.Close())
			})
		},
	}
	f.addTo(c, "")
	a.pickServiceProvider(c.Flags())
	c.Flags().StringVar(&file, "file", "", "file to write to; it must not exist yet, except with --resume (default: standard output)")
	c.Flags().BoolVar(&resume, "resume", false, "continue the file: add what is missing")
	return c
}

// position is the last record of each writer.
type position map[string]uint64

// add reads where a record is in its chain, and moves the position there.
func (p position) add(line []byte) error {
	var r struct {
		Writer   string `json:"writer"`
		Sequence uint64 `json:"sequence"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	if r.Writer == "" || r.Sequence == 0 {
		return errors.New("it has no writer or sequence")
	}
	p[r.Writer] = max(p[r.Writer], r.Sequence)
	return nil
}

// exported is an export under way.
type exported struct {
	served
	out      io.Writer
	file     string
	position position
	progress *progress
	records  int
}

func (e *exported) run(command *cobra.Command, query url.Values, whole bool) error {
	ctx := command.Context()
	var ends *proof
	if e.file != "" && whole {
		// The ends come first: every one of them must then be in what follows.
		var err error
		if ends, err = e.proofOf(ctx, query); err != nil {
			return err
		}
		if err := writeProof(e.file+".proof", ends); err != nil {
			return err
		}
	}
	err := e.write(ctx, query)
	if err == nil && ends != nil {
		err = e.afterRetention(ctx, query, ends)
	}
	e.progress.done()
	if err == nil {
		fmt.Fprintf(command.ErrOrStderr(), "%s exported\n", plural(e.records, "record", "records"))
	}
	return err
}

// afterRetention goes on where retention has removed records since the ends were asked for: the record that says so may be newer than the export, and without it
// the file would look cut off at its beginning. A part that ends before that record has no room for it: there the proof says where retention has left the part to begin.
func (e *exported) afterRetention(ctx context.Context, query url.Values, ends *proof) error {
	later := &proof{}
	if err := e.heads(ctx, query, later); err != nil {
		return err
	}
	switch {
	case query.Has("until"):
		ends.beginAs(later)
		return writeProof(e.file+".proof", ends)
	case ends.retained(later):
		return e.write(ctx, query)
	}
	return nil
}

// write writes what matches and is beyond the position, and says how to go on when it breaks off.
func (e *exported) write(ctx context.Context, query url.Values) error {
	response, err := e.StreamFrom(ctx, "/audit/export", query, map[string]position{"after": e.position})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var fault error
	err = eachLine(response.Body, func(line []byte) error {
		if err := e.position.add(line); err != nil {
			return fmt.Errorf("a line is not an audit record: %w", err)
		}
		if _, fault = e.out.Write(append(line[:len(line):len(line)], '\n')); fault != nil {
			return fault
		}
		if e.records++; e.records%1000 == 0 {
			e.progress.show("%d records", e.records)
		}
		return nil
	})
	if err == nil || fault != nil {
		return err
	}
	e.progress.done()
	next := "continue with --resume"
	if e.file == "" {
		next = "start again; with --file it could be resumed"
	}
	return fmt.Errorf("the export broke off after %s (%w): %s", plural(e.records, "record", "records"), err, next)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// exportTo opens the file, and finds out what is in it.
func exportTo(stdout io.Writer, file string, resume bool) (io.WriteCloser, position, error) {
	if file == "" {
		return nopCloser{stdout}, position{}, nil
	}
	if !resume {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return nil, nil, fmt.Errorf("%s exists already: name another file, or continue with --resume", file)
		}
		return f, position{}, err
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s does not exist: leave --resume out", file)
	}
	if err != nil {
		return nil, nil, err
	}
	end, p, err := positionIn(f)
	if err == nil {
		if err = f.Truncate(end); err == nil {
			_, err = f.Seek(end, io.SeekStart)
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return f, p, nil
}

// positionIn reads how far an export got, and where its last whole line ends.
func positionIn(r io.Reader) (end int64, p position, err error) {
	p = position{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	lines.Split(func(data []byte, _ bool) (int, []byte, error) {
		n := bytes.IndexByte(data, '\n') + 1
		if n == 0 {
			return 0, nil, nil // what is no whole line is left out at the end
		}
		return n, data[:n], nil
	})
	for number := 1; lines.Scan(); number++ {
		if err := p.add(lines.Bytes()); err != nil {
			return 0, nil, fmt.Errorf("line %d is not an audit record (%w): it is not an export", number, err)
		}
		end += int64(len(lines.Bytes()))
	}
	return end, p, lines.Err()
}
