package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cli/cluster"
	"sallyport.dev/sallyport/internal/cli/manage"
	"sallyport.dev/sallyport/internal/manageapi"
)

// entryName is what names one entry: the reference that people are shown, or the ID.
var entryName = regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// debugOptions say which entries are listed, and how.
type debugOptions struct {
	idp, kind, output string
	limit             int
	follow            bool
}

func (a *app) debugCommand() *cobra.Command {
	var o debugOptions
	var xml bool
	c := &cobra.Command{
		Use: "debug [idp/NAME] [REFERENCE|ID]", Short: "Say why sign-ins were refused: what was wrong, and which setting to change",
		Long: `Show responses that were refused, newest last, and those accepted while spec.debug.verboseUntil of their IdP is in the future. First comes the diagnosis:
what was wrong, and which setting on which side to change. With a reference, as people are shown it, or an ID, everything that is kept of that one response.

Looking is recorded with your name. --xml adds the response itself, which holds personal data.`,
		Example: "  kubectl sso debug\n  kubectl sso debug idp/okta --follow\n  kubectl sso debug 7F3K-9Q2M --xml",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			idp, entry, err := debugArgs(args)
			if err != nil {
				return err
			}
			o.idp = idp
			switch err := errors.Join(oneOf("--output", o.output, "text", "json")); {
			case err != nil:
				return err
			case o.limit < 1 || o.limit > 1000:
				return fmt.Errorf("--limit %d: write a number from 1 to 1000", o.limit)
			case entry != "" && o.follow:
				return errors.New("--follow is for the list: one response does not change")
			case entry == "" && xml:
				return errors.New("--xml is for one response: name it by its reference or ID")
			case o.follow && o.output == "json":
				return errors.New("--follow never ends, and a JSON document does: leave -o json out")
			}
			return a.open(command, func(s served) error {
				if entry != "" {
					return showEntry(command, s, entry, xml, o.output)
				}
				return showEntries(command, s, o)
			})
		},
	}
	a.pickServiceProvider(c.Flags())
	c.Flags().StringVarP(&o.output, "output", "o", "text", "text or json")
	c.Flags().StringVar(&o.kind, "type", "", "only this type of error, such as audience_mismatch")
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "keep streaming new entries")
	c.Flags().BoolVar(&xml, "xml", false, "include the response's XML, which holds personal data; only with a reference or ID")
	c.Flags().IntVar(&o.limit, "limit", 20, "maximum number of results")
	return c
}

// debugArgs tells an IdP from a reference.
func debugArgs(args []string) (idp, entry string, err error) {
	for _, arg := range args {
		switch {
		case entryName.MatchString(strings.ToUpper(arg)) && entry == "":
			entry = strings.ToUpper(arg)
		case entryName.MatchString(strings.ToLower(arg)) && entry == "":
			entry = strings.ToLower(arg)
		case idp == "":
			if idp, err = cluster.IdPName(arg); err != nil {
				return "", "", fmt.Errorf("%q is neither an IdentityProvider (idp/NAME) nor a reference such as 7F3K-9Q2M", arg)
			}
		default:
			return "", "", fmt.Errorf("%q is one argument too many: name one idp/NAME, or one reference", arg)
		}
	}
	return idp, entry, nil
}

func showEntry(command *cobra.Command, s served, name string, xml bool, output string) error {
	query := url.Values{}
	if xml {
		query.Set("xml", "true")
	}
	var raw json.RawMessage
	err := s.Get(command.Context(), "/debug/"+url.PathEscape(name), query, &raw)
	if manage.IsNotFound(err) {
		return fmt.Errorf("there is no debug entry %s: entries are kept for spec.debugLog.retention; `kubectl sso debug -n %[2]s` lists what there is, `kubectl sso audit --request %[1]s -n %[2]s` what was recorded", name, s.Namespace)
	}
	if err != nil {
		return err
	}
	if output == "json" {
		return printIndented(command.OutOrStdout(), raw)
	}
	var e manageapi.DebugEntry
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	printDiagnosis(command.OutOrStdout(), e)
	printDetails(command.OutOrStdout(), e)
	return nil
}

func showEntries(command *cobra.Command, s served, o debugOptions) error {
	query := url.Values{"limit": {strconv.Itoa(o.limit)}}
	if o.idp != "" {
		query.Set("idp", o.idp)
	}
	if o.kind != "" {
		query.Set("type", o.kind)
	}
	out := command.OutOrStdout()
	if o.output == "json" {
		var raw json.RawMessage
		if err := s.Get(command.Context(), "/debug", query, &raw); err != nil {
			return err
		}
		return printIndented(out, raw)
	}
	for first := true; ; first = false {
		var got manageapi.Page[manageapi.DebugEntry]
		if err := s.Get(command.Context(), "/debug", query, &got); err != nil {
			if command.Context().Err() != nil {
				return nil
			}
			return err
		}
		slices.Reverse(got.Items)
		for _, e := range got.Items {
			printDiagnosis(out, e)
			query.Set("after", e.At.Format(time.RFC3339Nano))
		}
		if !o.follow {
			if len(got.Items) == 0 {
				if err := s.knows(command.Context(), o.idp); err != nil {
					return err
				}
				fmt.Fprintln(command.ErrOrStderr(), "no response was refused, as far as the debug log goes back")
			}
			return nil
		}
		if first && len(got.Items) == 0 {
			query.Set("after", time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano))
		}
		query.Set("wait", "20s")
		query.Set("limit", "1000")
	}
}

// printDiagnosis says what was wrong and what to change.
func printDiagnosis(w io.Writer, e manageapi.DebugEntry) {
	kind := e.ErrorType
	if e.Success {
		kind = "accepted"
	}
	head := fmt.Sprintf("%s  %s  ref %s", at(e.At), kind, e.Reference)
	if e.IdP != "" {
		head += "  idp/" + e.IdP
	}
	if e.Email != "" {
		head += "  " + e.Email
		if !e.Verified {
			head += " (claimed)"
		}
	}
	fmt.Fprintln(w, clean(head))
	for _, text := range []string{e.Sentence, e.Advice} {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				fmt.Fprintf(w, "  %s\n", clean(line))
			}
		}
	}
}

// printDetails is the rest of an entry.
func printDetails(w io.Writer, e manageapi.DebugEntry) {
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-16s %s\n", label, clean(value))
		}
	}
	fmt.Fprintln(w)
	line("check", e.Check)
	line("expected", e.Expected)
	line("actual", e.Actual)
	if !e.Verified {
		line("note", "what follows comes from a response that was refused: anybody may have written it")
	}
	line("issuer", e.Issuer)
	if e.NameID != nil {
		line("NameID", e.NameID.Value+" "+e.NameID.Format)
	}
	for _, name := range sortedKeys(e.Attributes) {
		line("attribute", name+" = "+strings.Join(e.Attributes[name], ", "))
	}
	line("request", e.RequestID)
	line("clock difference", e.ClockDifference)
	line("from", strings.TrimSpace(e.IP+" "+e.UserAgent))
	line("ID", e.ID)
	if e.XML != "" {
		fmt.Fprintf(w, "\n%s\n", cleanLines(e.XML))
	}
}
