package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli/manage"
	"sallyport.dev/sallyport/internal/manageapi"
)

// trialWait is how long one request waits for a result.
const trialWait = 20 * time.Second

func (a *app) testCommand() *cobra.Command {
	var output string
	var timeout time.Duration
	c := &cobra.Command{
		Use: "test idp/NAME", Short: "Try a connection: a full round trip to the real IdP that creates neither a session nor a user",
		Long: `Print a link. Whoever opens it in a browser signs in at the IdP as always; what comes back goes through every check, and neither a user nor a session is created.
It works while the connection is Disabled too. The result shows every check with its verdict, what was sent and what of it is mapped, and what sign-in would have done;
it is on the page that the browser ends at, and is printed here.

The link can be opened for 15 minutes, 50 times at most; the result is kept as long. Each run is recorded, and is in the debug log. Exit code 1: a sign-in like this would be refused.`,
		Example: "  kubectl sso test idp/okta\n  kubectl sso test idp/okta --timeout 0   # only the link",
		Args:    exactly("an IdentityProvider (idp/NAME)"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			if timeout < 0 {
				return fmt.Errorf("--timeout %s: write a duration from 0, such as 10m", timeout)
			}
			return a.openFor(command, args[0], func(s served, idp *v1alpha1.IdentityProvider) error {
				var link manageapi.TrialLink
				if err := s.Post(command.Context(), "/identity-providers/"+url.PathEscape(idp.Name)+"/test", struct{}{}, &link); err != nil {
					return err
				}
				// The link goes where it does not get into the way of the result.
				where := command.ErrOrStderr()
				if timeout == 0 {
					where = command.OutOrStdout()
				}
				fmt.Fprintf(where, "Open this in a browser, and sign in at the identity provider:\n\n  %s\n\n", link.URL)
				if timeout == 0 {
					return nil
				}
				raw, err := waitForTrial(command, s, link.ID, timeout)
				if err != nil {
					return err
				}
				return showTrial(command.OutOrStdout(), raw, output)
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().DurationVar(&timeout, "timeout", 15*time.Minute, "how long to wait for the result; 0 prints the link only")
	return c
}

func waitForTrial(command *cobra.Command, s served, id string, timeout time.Duration) (json.RawMessage, error) {
	p := newProgress(command.ErrOrStderr())
	defer p.done()
	p.show("waiting for the browser to come back")
	for deadline := time.Now().Add(timeout); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, fmt.Errorf("nobody came back from the identity provider within %s: the page in the browser says more, or create a new link", timeout)
		}
		var raw json.RawMessage
		query := url.Values{"wait": {min(trialWait, left).Truncate(time.Millisecond).String()}}
		err := s.Get(command.Context(), "/tests/"+url.PathEscape(id), query, &raw)
		if manage.IsNotFound(err) {
			continue
		}
		return raw, err
	}
}

func showTrial(w io.Writer, raw json.RawMessage, output string) error {
	var t manageapi.Trial
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	if output == "json" {
		if err := printIndented(w, raw); err != nil {
			return err
		}
	} else {
		printTrial(w, t)
	}
	if !t.Passed {
		return errFindings
	}
	return nil
}

func printTrial(w io.Writer, t manageapi.Trial) {
	switch {
	case !t.Passed:
		fmt.Fprintf(w, "A sign-in like this would be refused. Reference %s\n", t.Reference)
	case t.Enabled:
		fmt.Fprintf(w, "A sign-in like this would succeed. Reference %s\n", t.Reference)
	default:
		fmt.Fprintf(w, "A sign-in like this would succeed, once the connection is enabled. Reference %s\n", t.Reference)
	}
	fmt.Fprintln(w, "\nChecks:")
	for _, c := range t.Checks {
		fmt.Fprintf(w, "  %-11s  %s\n", strings.ReplaceAll(c.Verdict, "_", " "), clean(c.Name))
		for _, text := range []string{c.Sentence, c.Advice} {
			if text != "" {
				fmt.Fprintf(w, "               %s\n", clean(text))
			}
		}
	}
	fmt.Fprintln(w, "\nWhat was sent:")
	if !t.Verified {
		fmt.Fprintln(w, "  (the response was refused: nothing of this was verified)")
	}
	line := func(name, value, use string) {
		if value != "" {
			fmt.Fprintf(w, "  %s = %s%s\n", clean(name), clean(value), use)
		}
	}
	line("Issuer", t.Issuer, "")
	line("NameID", t.NameID, "  ("+clean(t.NameIDFormat)+")")
	for _, at := range t.Attributes {
		use := "  (not mapped)"
		if at.Use != "" {
			use = "  -> " + at.Use
		}
		line(at.Name, strings.Join(at.Values, ", "), use)
	}
	line("Mapped, but not sent", strings.Join(t.Missing, ", "), "")
	line("Sent, but not valid", strings.Join(t.Dropped, ", "), "")
	fmt.Fprintln(w, "\nWhat sign-in would have done:")
	for _, o := range t.Outcome {
		fmt.Fprintf(w, "  %s\n", clean(o))
	}
}
