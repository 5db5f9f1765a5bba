package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/manageapi"
)

func (a *app) breakGlassCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "break-glass ADDRESS --reason TEXT", Short: "Create a link that signs one user in once, without their IdP",
		Long: `Create a link that signs a user in once while their identity provider cannot. It works for 10 minutes, opens a session of an hour, and asks for the second factor
where the connection requires one. Creating and using it are recorded as sso_break_glass with your name and the reason, and a Warning Event about the ServiceProvider
says that it was created: without permission to create Events there is no link.`,
		Example: "  kubectl sso break-glass alice@acme.example --reason \"IdP outage, incident 4711\"",
		Args:    exactly("the e-mail address of a user"),
		RunE: func(command *cobra.Command, args []string) error {
			if reason = strings.TrimSpace(reason); reason == "" {
				return errors.New("--reason is missing: say why; it goes into the record")
			}
			return a.open(command, func(s served) error {
				// Whoever does not exist needs no Event.
				if err := noSuchUser(s, s.Get(command.Context(), userPath(args[0], ""), nil, nil), args[0]); err != nil {
					return err
				}
				if err := s.Warn(command.Context(), s.serviceProvider, "BreakGlass", "IssueLink", breakGlassNote(s.Namespace)); err != nil {
					return err
				}
				var link manageapi.BreakGlassLink
				if err := s.Post(command.Context(), userPath(args[0], "break-glass"), map[string]string{"reason": reason}, &link); err != nil {
					return err
				}
				fmt.Fprintf(command.ErrOrStderr(), "It works once, until %s UTC. Give it to %s alone.\n", at(link.Expires), clean(args[0]))
				_, err := fmt.Fprintln(command.OutOrStdout(), link.URL)
				return err
			})
		},
	}
	a.pickServiceProvider(c.Flags())
	c.Flags().StringVar(&reason, "reason", "", "why; required, and recorded")
	return c
}

// breakGlassNote is the Event that says that a link was created. For whom is no business of whoever may read Events.
func breakGlassNote(namespace string) string {
	return "A break-glass link was created for one user. kubectl sso audit --type sso_break_glass -n " + namespace + " says for whom, by whom and why."
}
