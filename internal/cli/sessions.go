package cli

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/manageapi"
)

func (a *app) sessionsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "sessions", Aliases: []string{"session"}, Short: "List and end sessions",
		Example: "  kubectl sso sessions list --user alice@acme.example\n  kubectl sso sessions revoke 3f9a1c0d7be2",
	}
	a.pickServiceProvider(c.PersistentFlags())
	return commands(c, a.sessionsList(), a.sessionsRevoke())
}

func (a *app) sessionsList() *cobra.Command {
	var output, who, idp string
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List sessions, newest first",
		Example: "  kubectl sso sessions list\n  kubectl sso sessions list --user alice@acme.example -o json",
		Args:    exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := errors.Join(oneOf("--output", output, "table", "json"), atLeastNone(limit)); err != nil {
				return err
			}
			query := url.Values{}
			if who != "" {
				query.Set("user", who)
			}
			connection, err := idpOf(idp)
			if err != nil {
				return err
			}
			if connection != "" {
				query.Set("idp", connection)
			}
			return a.open(command, func(s served) error {
				if output == "json" {
					return noSuchUser(s, listJSON(command, s, "/sessions", query, limit), who)
				}
				t := newTable(command.OutOrStdout(), "ID", "EMAIL", "IDP", "IP", "SIGNED IN", "LAST SEEN", "UNTIL", "STATE")
				found := 0
				err := list(command, s, "/sessions", query, limit, func(v manageapi.Session) {
					found++
					state := "active"
					if v.Pending {
						state = "second factor pending"
					}
					t.row(v.ID[:min(len(v.ID), 12)], v.Email, v.IdP, v.IP, at(v.CreatedAt), at(v.LastSeenAt), at(v.ExpiresAt), state)
				})
				if err == nil && found == 0 {
					err = s.knows(command.Context(), connection)
				}
				if err != nil {
					return noSuchUser(s, err, who)
				}
				return t.flush()
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	c.Flags().StringVar(&who, "user", "", "only sessions of the user with this e-mail address")
	idpFlag(c, &idp, "only sessions through this IdentityProvider")
	c.Flags().IntVar(&limit, "limit", 1000, "maximum number of results; 0 means all")
	return c
}

func (a *app) sessionsRevoke() *cobra.Command {
	var who, idp string
	var yes bool
	c := &cobra.Command{
		Use: "revoke [ID]", Short: "End one session, all sessions of a user, or all through an IdP, within two seconds",
		Example: "  kubectl sso sessions revoke 3f9a1c0d7be2\n  kubectl sso sessions revoke --user alice@acme.example\n  kubectl sso sessions revoke --idp okta --yes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			body := map[string]string{}
			name, err := idpOf(idp)
			if err != nil {
				return err
			}
			for key, value := range map[string]string{"user": who, "idp": name} {
				if value != "" {
					body[key] = value
				}
			}
			if len(args) == 1 {
				body["session"] = args[0]
			}
			if len(body) == 0 {
				return errors.New("say which sessions: an ID as `kubectl sso sessions list` shows it, --user or --idp")
			}
			if len(args) == 0 && who == "" {
				if err := confirm(command, yes, fmt.Sprintf("End every session through %s?", clean(name))); err != nil {
					return err
				}
			}
			return a.open(command, func(s served) error {
				var answer manageapi.Ended
				if err := noSuchUser(s, s.Post(command.Context(), "/sessions/revoke", body, &answer), who); err != nil {
					return err
				}
				if answer.Ended == 0 {
					if err := s.knows(command.Context(), name); err != nil {
						return err
					}
				}
				_, err := fmt.Fprintf(command.OutOrStdout(), "%s ended\n", plural(answer.Ended, "session", "sessions"))
				return err
			})
		},
	}
	c.Flags().StringVar(&who, "user", "", "every session of the user with this e-mail address")
	idpFlag(c, &idp, "every session through this IdentityProvider")
	yesFlag(c, &yes)
	return c
}
