package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cli/manage"
)

const (
	// reconnectAfter is how long to wait before a stream that broke off is asked for again.
	reconnectAfter = time.Second
	// overlap is how far back IDs are remembered: after a reconnect up to a minute of records comes again.
	overlap = 2 * time.Minute
)

// followAudit shows records as they are committed until the user ends it. A stream that ends or breaks off is taken up again where it was.
func followAudit(command *cobra.Command, s served, query url.Values, show func([]byte) error) error {
	ctx := command.Context()
	seen := map[string]time.Time{}
	failures := 0
	for {
		err := followOnce(ctx, s, query, func(line []byte) error {
			var r auditRecord
			if err := json.Unmarshal(line, &r); err != nil {
				return fmt.Errorf("a line is no audit record: %w", err)
			}
			if _, again := seen[r.ID]; again {
				return nil
			}
			failures = 0
			seen[r.ID] = r.Time
			for id, t := range seen {
				if r.Time.Sub(t) > overlap {
					delete(seen, id)
				}
			}
			query.Set("cursor", r.ID)
			query.Del("since")
			return show(line)
		})
		refused, answered := errors.AsType[*manage.Error](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case answered && refused.Status != 503:
			return err
		case err != nil && !broken(err):
			return err
		case err != nil:
			if failures++; failures > 30 {
				return err
			}
			fmt.Fprintln(command.ErrOrStderr(), "the stream broke off; asking again")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reconnectAfter):
			}
		}
	}
}

// broken says that the connection is at fault, and not what came over it.
func broken(err error) bool {
	_, unreachable := errors.AsType[*manage.Unreachable](err)
	_, answered := errors.AsType[*manage.Error](err)
	return unreachable || answered || errors.Is(err, io.ErrUnexpectedEOF)
}

func followOnce(ctx context.Context, s served, query url.Values, show func([]byte) error) error {
	response, err := s.Stream(ctx, "/audit/follow", query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return eachLine(response.Body, show)
}

func (a *app) auditExport() *cobra.Command {
	var f auditFilter
	var file, cursor string
	var resume bool
	c := &cobra.Command{
		Use: "export", Short: "Write all records as lines of JSON, with what verifies them",
		Long: `Write records, the oldest first, one line of JSON each, exactly as they were hashed. Memory does not grow with their number.

With --file, a second file FILE.proof gets the ends of the chains and the public keys as they are now; ` + "`kubectl sso audit verify FILE`" + ` holds the records against
it. Keep it apart from the records: whoever can change both proves nothing. An export with a filter has gaps and cannot be verified; it gets no proof.

An export that breaks off says from where to go on: with --cursor, or with --resume, which looks at the end of the file.`,
		Example: "  kubectl sso audit export --file audit.ndjson\n  kubectl sso audit export --file audit.ndjson --resume\n  kubectl sso audit export --since 30d --type sso_break_glass | jq .actor.id",
		Args:    exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			query, err := f.query(time.Now())
			if err != nil {
				return err
			}
			if resume && (file == "" || cursor != "") {
				return errors.New("--resume goes on with the file of --file, from its last record: leave --cursor out")
			}
			out, cursor, err := exportTo(command.OutOrStdout(), file, cursor, resume)
			if err != nil {
				return err
			}
			if cursor != "" {
				query.Set("cursor", cursor)
			}
			return a.open(command, func(s served) error {
				err := runExport(command, s, query, out, file, f.empty())
				return errors.Join(err, out.Close())
			})
		},
	}
	f.addTo(c, "")
	a.pickServiceProvider(c)
	c.Flags().StringVar(&file, "file", "", "file to write to; it must not be there yet, but with --resume (default: standard output)")
	c.Flags().BoolVar(&resume, "resume", false, "go on after the last whole record of the file")
	c.Flags().StringVar(&cursor, "cursor", "", "go on after the record with this ID")
	return c
}

// exported is an export under way.
type exported struct {
	served
	out      io.Writer
	progress *progress
	records  int
	// last is the ID of the last record that was written.
	last string
}

func runExport(command *cobra.Command, s served, query url.Values, out io.Writer, file string, whole bool) error {
	ctx := command.Context()
	var ends *proof
	if file != "" && whole {
		// The ends come first: every one of them must then be in what follows.
		var err error
		if ends, err = s.proof(ctx); err != nil {
			return err
		}
		if err := writeProof(file+".proof", ends); err != nil {
			return err
		}
	}
	e := &exported{served: s, out: out, progress: newProgress(command.ErrOrStderr()), last: query.Get("cursor")}
	err := e.write(ctx, query)
	if err == nil && ends != nil && !query.Has("until") {
		err = e.afterRetention(ctx, query, ends)
	}
	e.progress.done()
	if err == nil {
		fmt.Fprintf(command.ErrOrStderr(), "%s exported\n", plural(e.records, "record", "records"))
	}
	return err
}

// afterRetention goes on where retention has removed records since the ends were asked for: the record that says so may be newer than the export, and without it
// the file would look cut off at its beginning.
func (e *exported) afterRetention(ctx context.Context, query url.Values, ends *proof) error {
	later := &proof{}
	if err := e.heads(ctx, later); err != nil || !ends.retained(later) {
		return err
	}
	query.Set("cursor", e.last)
	return e.write(ctx, query)
}

// write writes what matches, and says from where to go on when it breaks off.
func (e *exported) write(ctx context.Context, query url.Values) error {
	response, err := e.Stream(ctx, "/audit/export", query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var fault error
	err = eachLine(response.Body, func(line []byte) error {
		var id struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(line, &id); err != nil {
			return fmt.Errorf("a line is no audit record: %w", err)
		}
		if _, fault = e.out.Write(append(line[:len(line):len(line)], '\n')); fault != nil {
			return fault
		}
		e.last = id.ID
		if e.records++; e.records%1000 == 0 {
			e.progress.show("%d records", e.records)
		}
		return nil
	})
	if err != nil && fault == nil {
		e.progress.done()
		return fmt.Errorf("the export broke off after %s (%w): go on with --cursor %s", plural(e.records, "record", "records"), err, e.last)
	}
	return err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// exportTo opens the file, and finds out where to go on.
func exportTo(stdout io.Writer, file, cursor string, resume bool) (io.WriteCloser, string, error) {
	if file == "" {
		return nopCloser{stdout}, cursor, nil
	}
	if !resume {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return nil, "", fmt.Errorf("%s is there already: name another file, or go on with --resume", file)
		}
		return f, cursor, err
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("%s is not there: leave --resume out", file)
	}
	if err != nil {
		return nil, "", err
	}
	end, last, err := lastRecord(f)
	if err == nil {
		if err = f.Truncate(end); err == nil {
			_, err = f.Seek(end, io.SeekStart)
		}
	}
	if err != nil {
		f.Close()
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	return f, last, nil
}

// lastRecord finds the end of the last whole line, and the ID of its record.
func lastRecord(f *os.File) (end int64, id string, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, "", err
	}
	start := max(0, size-maxLine)
	tail := make([]byte, size-start)
	if _, err := f.ReadAt(tail, start); err != nil && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	last := lastIndex(tail, len(tail))
	if last < 0 {
		return 0, "", nil
	}
	var r auditRecord
	if err := json.Unmarshal(tail[lastIndex(tail, last)+1:last], &r); err != nil || r.ID == "" {
		return 0, "", errors.New("its last line is no audit record: it is not an export")
	}
	return start + int64(last) + 1, r.ID, nil
}

// lastIndex is the last line end before a position.
func lastIndex(b []byte, before int) int {
	for i := before - 1; i >= 0; i-- {
		if b[i] == '\n' {
			return i
		}
	}
	return -1
}
