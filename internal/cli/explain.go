package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/manageapi"
)

func (a *app) explainCommand() *cobra.Command {
	var output, address string
	c := &cobra.Command{
		Use: "explain ADDRESS", Short: "Say where a person signs in and why, what would be asserted, and what would fail",
		Long: `Say which IdentityProvider an e-mail address signs in through and which DomainBinding says so, when that last happened, what today's mapping makes of what the IdP
sent last, and why a sign-in would fail now. With --url, also what the access rules say about that page. Looking is recorded.

Exit code 1: something would fail.`,
		Example: "  kubectl sso explain alice@acme.example\n  kubectl sso explain alice@acme.example --url https://grafana.example.com/admin",
		Args:    exactly("an e-mail address"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			query := url.Values{}
			if address != "" {
				query.Set("url", address)
			}
			return a.open(command, func(s served) error {
				var raw json.RawMessage
				if err := s.Get(command.Context(), "/explain/"+url.PathEscape(args[0]), query, &raw); err != nil {
					return err
				}
				var e manageapi.Explanation
				if err := json.Unmarshal(raw, &e); err != nil {
					return err
				}
				if output == "json" {
					if err := printIndented(command.OutOrStdout(), raw); err != nil {
						return err
					}
				} else {
					printExplanation(command.OutOrStdout(), s.Namespace, e)
				}
				if len(e.Problems) > 0 || e.Access != nil && e.Access.Outcome != manageapi.AccessAllowed {
					return errFindings
				}
				return nil
			})
		},
	}
	a.pickServiceProvider(c.Flags())
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().StringVar(&address, "url", "", "also say whether the access rules let the person open this page")
	return c
}

func printExplanation(w io.Writer, namespace string, e manageapi.Explanation) {
	say := func(format string, args ...any) { fmt.Fprintln(w, clean(fmt.Sprintf(format, args...))) }
	switch {
	case e.IdP == "":
	case e.Binding != "":
		say("%s is bound to idp/%s (domainbinding/%s).", e.Domain, e.IdP, e.Binding)
	case e.CatchAll:
		say("No DomainBinding binds the domain; idp/%s is the catch-all and takes every such address.", e.IdP)
	}
	if e.State == "usable" {
		say("idp/%s is enabled, and trust in it is established.", e.IdP)
	}
	if e.User == nil {
		say("Nobody with the address %s has signed in yet.", e.Address)
	} else if !e.User.LastSignInAt.IsZero() {
		say("Last sign-in %s UTC from %s.", at(e.User.LastSignInAt), e.User.LastSignInIP)
	}
	if s := e.Asserted; s != nil {
		say("From what idp/%s sent then, today's mapping makes: %s", e.IdP, strings.Join(append([]string{s.Email}, strings.Fields(s.FirstName+" "+s.LastName)...), " "))
		if len(s.Groups) > 0 {
			say("  groups %s%s", strings.Join(s.Groups, ", "), rulesOf(e))
		}
		for _, f := range s.FailedRules {
			say("  rule %d (rules[%d]) adds no group, %s: %s", f.Rule, f.Rule-1, f.Reason, f.When)
			say("    %s", f.Message)
		}
		for _, name := range sortedKeys(s.Profile) {
			say("  %s %s", name, s.Profile[name])
		}
		if len(s.Missing) > 0 {
			say("  not sent: %s", strings.Join(s.Missing, ", "))
		}
		if len(s.Dropped) > 0 {
			say("  not valid, left out: %s", strings.Join(s.Dropped, ", "))
		}
	}
	if e.Access != nil {
		say("Access: %s. %s", e.Access.Outcome, e.Access.Why)
	}
	if f := e.LastFailure; f != nil {
		say("Since then a sign-in was refused (kubectl sso debug %s -n %s):", f.Reference, namespace)
		printDiagnosis(w, *f)
	}
	if len(e.Problems) == 0 {
		say("No known reason for a sign-in to fail.")
		return
	}
	say("A sign-in would fail:")
	for _, p := range e.Problems {
		say("  %s", p)
	}
}

// rulesOf names the rules that add groups, with their conditions.
func rulesOf(e manageapi.Explanation) string {
	var all []string
	for _, r := range e.Asserted.Rules {
		all = append(all, fmt.Sprintf("rule %d adds %s: %s", r.Rule, strings.Join(r.Groups, ", "), r.When))
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, "; ") + ")"
}
