package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/cli/cluster"
	"sallyport.dev/sallyport/internal/manageapi"
)

// auditFilter are the flags that select records, and what they ask of the API.
type auditFilter struct {
	since, until, actor, idp, request string
	types, outcomes                   []string
}

func (f *auditFilter) addTo(c *cobra.Command, since string) {
	flags := c.Flags()
	flags.StringVar(&f.since, "since", since, "records from then on: a duration such as 90d, 12h or 30m, or a time such as 2026-11-23T10:00:00Z")
	flags.StringVar(&f.until, "until", "", "records before then: a duration or a time, as in --since")
	flags.StringSliceVar(&f.types, "type", nil, "only these types, such as saml_idp_updated,sso_break_glass; TAB completes them")
	flags.StringSliceVar(&f.outcomes, "outcome", nil, "only these outcomes: success, failure, denied")
	flags.StringVar(&f.actor, "actor", "", "only what this e-mail address, IdP or Kubernetes user did")
	flags.StringVar(&f.idp, "idp", "", "only what is about this IdentityProvider (idp/NAME or NAME)")
	flags.StringVar(&f.request, "request", "", "only this reference, as people are shown it")
	complete(c, "type", typeNames()...)
	complete(c, "outcome", outcomeNames...)
}

var outcomeNames = []string{string(audit.OutcomeSuccess), string(audit.OutcomeFailure), string(audit.OutcomeDenied)}

func typeNames() []string {
	var names []string
	for _, t := range audit.AllTypes() {
		names = append(names, t.String())
	}
	return names
}

// empty says that nothing is left out but by time.
func (f *auditFilter) empty() bool {
	return f.actor == "" && f.idp == "" && f.request == "" && len(f.types) == 0 && len(f.outcomes) == 0
}

func (f *auditFilter) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	for _, moment := range [][2]string{{"since", f.since}, {"until", f.until}} {
		t, err := since("--"+moment[0], moment[1], now)
		if err != nil {
			return nil, err
		}
		if !t.IsZero() {
			q.Set(moment[0], t.UTC().Format(time.RFC3339))
		}
	}
	for _, name := range f.types {
		if _, err := audit.ParseType(name); err != nil {
			return nil, fmt.Errorf("--type %q is not a type of record%s: docs/guides/audit.md lists all", name, similar(name, typeNames()))
		}
	}
	for _, o := range f.outcomes {
		if err := oneOf("--outcome", o, outcomeNames...); err != nil {
			return nil, err
		}
	}
	if f.idp != "" {
		name, err := cluster.IdPName(f.idp)
		if err != nil {
			return nil, err
		}
		q.Set("idp", name)
	}
	for key, value := range map[string]string{"actor": f.actor, "request": f.request, "type": strings.Join(f.types, ","), "outcome": strings.Join(f.outcomes, ",")} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return q, nil
}

// similar suggests the names that have a word of the wrong one in them.
func similar(wrong string, names []string) string {
	var found []string
	for _, n := range names {
		if slices.ContainsFunc(strings.Split(wrong, "_"), func(w string) bool { return len(w) > 4 && strings.Contains(n, w) }) {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return " (there is " + strings.Join(found[:min(len(found), 5)], ", ") + ")"
}

// auditRecord is a record, and its line.
type auditRecord struct {
	audit.Entry
	Raw json.RawMessage `json:"-"`
}

func (r auditRecord) what() string {
	if r.Target.Kind == "" || r.Target.Name == "" {
		return r.Target.Kind
	}
	return strings.ToLower(r.Target.Kind) + "/" + r.Target.Name
}

// why is the reason, of how many where the record stands for many, and the reference.
func (r auditRecord) why() string {
	why := r.Reason
	if t, err := audit.ParseType(r.Type); err == nil {
		if n := audit.Counted(t, r.Details).Count; n > 0 {
			why += fmt.Sprintf(", %d more", n)
		}
	}
	return strings.TrimSpace(why + " " + r.Request)
}

func (a *app) auditCommand() *cobra.Command {
	var f auditFilter
	var output string
	var follow bool
	var limit int
	c := &cobra.Command{
		Use: "audit", Short: "Query the audit log, follow it, export it, verify it",
		Long: `Show audit records, oldest first: without --since, those of the last day. --follow keeps streaming new records.
-o ndjson prints a record exactly as it was hashed. Every query is recorded with your name.`,
		Example: `  kubectl sso audit --since 90d --type saml_idp_updated,saml_idp_certificate_added
  kubectl sso audit --actor alice@acme.example --outcome denied
  kubectl sso audit --request 7F3K-9Q2M -o json
  kubectl sso audit --follow -o ndjson`,
	}
	f.addTo(c, "")
	a.pickServiceProvider(c.Flags())
	c.Flags().StringVarP(&output, "output", "o", "table", "table, json or ndjson")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "keep streaming new records")
	c.Flags().IntVar(&limit, "limit", 1000, "maximum number of results; 0 means all")
	complete(c, "output", "table", "json", "ndjson")
	commands(c, a.auditExport(), a.auditVerify(), a.auditProof())
	c.RunE = func(command *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(command, args[0])
		}
		if err := errors.Join(oneOf("--output", output, "table", "json", "ndjson"), atLeastNone(limit)); err != nil {
			return err
		}
		if follow && output == "json" {
			return errors.New("--follow never ends, and a JSON document does: write -o ndjson")
		}
		if f.since == "" && f.request == "" && !follow {
			f.since = "24h"
		}
		query, err := f.query(time.Now())
		if err != nil {
			return err
		}
		if follow && query.Has("until") {
			return errors.New("--follow streams new records: leave --until out")
		}
		show, end := recordPrinter(command.OutOrStdout(), output)
		return a.open(command, func(s served) error {
			if follow {
				return followAudit(command, s, query, show)
			}
			if err := auditPages(command, s, query, limit, show); err != nil {
				return err
			}
			return end()
		})
	}
	return c
}

// recordPrinter writes records one by one; end is called after the last.
func recordPrinter(w io.Writer, output string) (show func(line []byte) error, end func() error) {
	switch output {
	case "ndjson":
		return func(line []byte) error {
			_, err := w.Write(append(slices.Clone(line), '\n'))
			return err
		}, func() error { return nil }
	case "json":
		first := "[\n  "
		return func(line []byte) error {
				_, err := fmt.Fprintf(w, "%s%s", first, line)
				first = ",\n  "
				return err
			}, func() error {
				if first == "[\n  " {
					_, err := fmt.Fprintln(w, "[]")
					return err
				}
				_, err := fmt.Fprintln(w, "\n]")
				return err
			}
	}
	const columns = "%-19s  %-34s  %-8s  %-28s  %-34s  %s\n"
	header := func() { fmt.Fprintf(w, columns, "TIME", "TYPE", "OUTCOME", "ACTOR", "TARGET", "REASON, REFERENCE") }
	started := false
	return func(line []byte) error {
		var r auditRecord
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("a line is not an audit record: %w", err)
		}
		if !started {
			started = true
			header()
		}
		_, err := fmt.Fprintf(w, columns, at(r.Time), r.Type, r.Outcome, clean(r.Who()), clean(r.what()), clean(r.why()))
		return err
	}, func() error { return nil }
}

// auditPages follows the pages of a question.
func auditPages(command *cobra.Command, s served, query url.Values, limit int, show func([]byte) error) error {
	p, shown := newProgress(command.ErrOrStderr()), 0
	defer p.done()
	for {
		size := 1000
		if limit > 0 {
			size = min(size, limit-shown)
		}
		query.Set("limit", strconv.Itoa(size))
		response, err := s.Stream(command.Context(), "/audit", query)
		if err != nil {
			return err
		}
		err = eachLine(response.Body, func(line []byte) error { shown++; return show(line) })
		response.Body.Close()
		if err != nil {
			return err
		}
		next := response.Header.Get(manageapi.NextCursorHeader)
		if next == "" {
			return nil
		}
		if limit > 0 && shown >= limit {
			fmt.Fprintln(command.ErrOrStderr(), "there are more: --limit 0 shows all")
			return nil
		}
		query.Set("cursor", next)
		p.show("%d records", shown)
	}
}

// maxLine bounds a line of a stream, in bytes: far more than a record has.
const maxLine = 4 << 20

// eachLine calls f for every line that is not empty. A stream that breaks off inside of a line is an error, and that part is not given to f.
func eachLine(r io.Reader, f func(line []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		advance, token, err := bufio.ScanLines(data, atEOF)
		if atEOF && len(data) > 0 && data[len(data)-1] != '\n' && advance == len(data) {
			return 0, nil, io.ErrUnexpectedEOF
		}
		return advance, token, err
	})
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// complete offers values of a flag to the shell.
func complete(c *cobra.Command, flag string, values ...string) {
	// The flag exists: it was added a line before.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}
