package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cli/manage"
	"sallyport.dev/sallyport/internal/manageapi"
)

func (a *app) usersCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "users", Aliases: []string{"user"}, Short: "List and show users, change a profile, suspend, resume, delete",
		Long:    "Users of the service provider. A user is created at the first sign-in. What you change here is recorded with your name.",
		Example: "  kubectl sso users list --idp okta\n  kubectl sso users show alice@acme.example\n  kubectl sso users suspend alice@acme.example --reason \"laptop stolen\"",
	}
	a.pickServiceProvider(c.PersistentFlags())
	return commands(c, a.usersList(), a.usersShow(), a.usersSet(), a.usersSuspend(), a.usersResume(), a.usersReset(), a.usersDelete())
}

func (a *app) usersList() *cobra.Command {
	var output, idp string
	var suspended bool
	var limit int
	c := &cobra.Command{
		Use: "list [PREFIX]", Short: "List users by e-mail address",
		Example: "  kubectl sso users list\n  kubectl sso users list ali\n  kubectl sso users list --suspended -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := errors.Join(oneOf("--output", output, "table", "json"), atLeastNone(limit)); err != nil {
				return err
			}
			query := url.Values{}
			if len(args) == 1 {
				query.Set("prefix", args[0])
			}
			connection, err := idpOf(idp)
			if err != nil {
				return err
			}
			if connection != "" {
				query.Set("idp", connection)
			}
			if suspended {
				query.Set("suspended", "true")
			}
			return a.open(command, func(s served) error {
				if output == "json" {
					return listJSON(command, s, "/users", query, limit)
				}
				t := newTable(command.OutOrStdout(), "EMAIL", "NAME", "IDP", "LAST SIGN-IN", "STATE")
				found := 0
				err := list(command, s, "/users", query, limit, func(u manageapi.User) {
					found++
					state := "active"
					if !u.SuspendedAt.IsZero() {
						state = "suspended " + at(u.SuspendedAt)
					}
					t.row(u.Email, name(u), u.IdP, at(u.LastSignInAt), state)
				})
				if err == nil && found == 0 {
					err = s.knows(command.Context(), connection)
				}
				if err != nil {
					return err
				}
				return t.flush()
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	idpFlag(c, &idp, "only users of this IdentityProvider")
	c.Flags().BoolVar(&suspended, "suspended", false, "only suspended users")
	c.Flags().IntVar(&limit, "limit", 1000, "maximum number of results; 0 means all")
	return c
}

func name(u manageapi.User) string { return strings.TrimSpace(u.FirstName + " " + u.LastName) }

// list follows the pages of a list until limit.
func list[T any](command *cobra.Command, s served, path string, query url.Values, limit int, show func(T)) error {
	return pages(command, s, path, query, limit, func(item json.RawMessage) error {
		var v T
		if err := json.Unmarshal(item, &v); err != nil {
			return err
		}
		show(v)
		return nil
	})
}

func listJSON(command *cobra.Command, s served, path string, query url.Values, limit int) error {
	all := []json.RawMessage{}
	if err := pages(command, s, path, query, limit, func(item json.RawMessage) error { all = append(all, item); return nil }); err != nil {
		return err
	}
	return printIndented(command.OutOrStdout(), map[string]any{"items": all})
}

const pageSize = 500

func atLeastNone(limit int) error {
	if limit < 0 {
		return fmt.Errorf("--limit %d: write a number from 0", limit)
	}
	return nil
}

func pages(command *cobra.Command, s served, path string, query url.Values, limit int, show func(json.RawMessage) error) error {
	p, shown := newProgress(command.ErrOrStderr()), 0
	defer p.done()
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-shown)
		}
		query.Set("limit", strconv.Itoa(size))
		var got manageapi.Page[json.RawMessage]
		if err := s.Get(command.Context(), path, query, &got); err != nil {
			return err
		}
		for _, item := range got.Items {
			if err := show(item); err != nil {
				return err
			}
		}
		if shown += len(got.Items); got.Next == "" {
			return nil
		}
		if limit > 0 && shown >= limit {
			p.done()
			fmt.Fprintf(command.ErrOrStderr(), "there are more: --limit 0 shows all\n")
			return nil
		}
		query.Set("cursor", got.Next)
		p.show("%d read", shown)
	}
}

func (a *app) usersShow() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "show ADDRESS", Short: "Show a user: groups, profile, sessions, and what each IdP last sent",
		Example: "  kubectl sso users show alice@acme.example\n  kubectl sso users show alice@acme.example -o json",
		Args:    exactly("the e-mail address of a user"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			return a.open(command, func(s served) error {
				var raw json.RawMessage
				if err := noSuchUser(s, s.Get(command.Context(), userPath(args[0], ""), nil, &raw), args[0]); err != nil {
					return err
				}
				if output == "json" {
					return printIndented(command.OutOrStdout(), raw)
				}
				var u manageapi.User
				if err := json.Unmarshal(raw, &u); err != nil {
					return err
				}
				showUser(command.OutOrStdout(), u)
				return nil
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func userPath(address, action string) string {
	path := "/users/" + url.PathEscape(address)
	if action != "" {
		path += "/" + action
	}
	return path
}

func noSuchUser(s served, err error, address string) error {
	if manage.IsNotFound(err) {
		return fmt.Errorf("there is no user %s: users are created at their first sign-in; `kubectl sso users list -n %[2]s` lists them, `kubectl sso explain %[1]s -n %[2]s` says where they would sign in", address, s.Namespace)
	}
	return err
}

func showUser(w io.Writer, u manageapi.User) {
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-14s %s\n", label, clean(value))
		}
	}
	line("E-mail", u.Email)
	line("Name", name(u))
	line("IdP", u.IdP)
	line("State", map[bool]string{true: "active", false: "suspended " + at(u.SuspendedAt) + " " + u.SuspendReason}[u.SuspendedAt.IsZero()])
	line("Created", at(u.CreatedAt))
	if !u.LastSignInAt.IsZero() {
		line("Last sign-in", at(u.LastSignInAt)+" from "+u.LastSignInIP)
	}
	for _, g := range u.Groups {
		note := ""
		if g.Invalid {
			note = ", no longer valid"
		}
		line("Group", fmt.Sprintf("%s (%s%s)", g.Name, g.IdP, note))
	}
	for _, key := range sortedKeys(u.Profile) {
		line("Profile", fmt.Sprintf("%s = %s (%s)", key, u.Profile[key].Value, u.Profile[key].Source))
	}
	for _, f := range u.SecondFactors {
		line("Second factor", strings.TrimSpace(f.Kind+" "+f.Label))
	}
	for _, s := range u.Sessions {
		line("Session", fmt.Sprintf("%s  %s  from %s, last seen %s, until %s", s.ID, s.IdP, s.IP, at(s.LastSeenAt), at(s.ExpiresAt)))
	}
	for _, l := range u.Connections {
		line("Sent by "+l.IdP, at(l.RecordedAt))
		for _, key := range sortedKeys(l.Attributes) {
			fmt.Fprintf(w, "  %s = %s\n", clean(key), clean(strings.Join(l.Attributes[key], ", ")))
		}
	}
}

func (a *app) usersSet() *cobra.Command {
	return &cobra.Command{
		Use: "set ADDRESS NAME=VALUE...", Short: "Change values of a user's profile; NAME= clears one",
		Long: "Change values of a user's profile. They are marked as set by an administrator. A mirrored attribute is overwritten at the next sign-in at which an IdP sends it; " +
			"what no IdP sends stays.",
		Example: "  kubectl sso users set alice@acme.example jobTitle=\"Chief Engineer\" city=",
		Args:    profileChanges,
		RunE: func(command *cobra.Command, args []string) error {
			values := map[string]string{}
			for _, assignment := range args[1:] {
				name, value, ok := strings.Cut(assignment, "=")
				if !ok || name == "" {
					return fmt.Errorf("%q is not NAME=VALUE, such as jobTitle=Engineer", assignment)
				}
				values[name] = value
			}
			return a.change(command, args[0], "profile", map[string]any{"values": values}, "The profile of ADDRESS was changed: `kubectl sso users show ADDRESS -n NAMESPACE` shows it")
		},
	}
}

// profileChanges is what `users set` takes.
func profileChanges(command *cobra.Command, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%s needs the e-mail address of a user and at least one NAME=VALUE, such as jobTitle=Engineer", command.CommandPath())
	}
	return nil
}

func (a *app) usersSuspend() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "suspend ADDRESS", Short: "End a user's sessions within two seconds and refuse their sign-ins",
		Example: "  kubectl sso users suspend alice@acme.example --reason \"left the company\"",
		Args:    exactly("the e-mail address of a user"),
		RunE: func(command *cobra.Command, args []string) error {
			return a.change(command, args[0], "suspend", map[string]string{"reason": reason}, "ADDRESS is suspended: sessions ended, sign-ins refused. `kubectl sso users resume ADDRESS -n NAMESPACE` undoes it")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; shown to administrators")
	return c
}

func (a *app) usersResume() *cobra.Command {
	return &cobra.Command{
		Use: "resume ADDRESS", Short: "Let a suspended user sign in again",
		Example: "  kubectl sso users resume alice@acme.example",
		Args:    exactly("the e-mail address of a user"),
		RunE: func(command *cobra.Command, args []string) error {
			return a.change(command, args[0], "resume", nil, "ADDRESS can sign in again")
		},
	}
}

func (a *app) usersReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset-second-factor ADDRESS", Short: "Remove a user's second factors; they set up a new one at their next sign-in",
		Example: "  kubectl sso users reset-second-factor alice@acme.example",
		Args:    exactly("the e-mail address of a user"),
		RunE: func(command *cobra.Command, args []string) error {
			return a.change(command, args[0], "reset-second-factor", nil, "ADDRESS no longer has a second factor and sets up a new one at the next sign-in that requires it")
		},
	}
}

// change does something to a person and says that it is done.
func (a *app) change(command *cobra.Command, address, action string, body any, done string) error {
	return a.open(command, func(s served) error {
		if body == nil {
			body = struct{}{}
		}
		if err := noSuchUser(s, s.Post(command.Context(), userPath(address, action), body, nil), address); err != nil {
			return err
		}
		_, err := io.WriteString(command.OutOrStdout(), strings.NewReplacer("ADDRESS", clean(address), "NAMESPACE", s.Namespace).Replace(done)+"\n")
		return err
	})
}

func (a *app) usersDelete() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete ADDRESS", Short: "Delete a user with all sessions, profile values and second factors; audit records are kept",
		Long:    "Delete a user. Anyone who can still sign in at their IdP is created again at the next sign-in: to keep somebody out, suspend them.",
		Example: "  kubectl sso users delete alice@acme.example --yes",
		Args:    exactly("the e-mail address of a user"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := confirm(command, yes, fmt.Sprintf("Delete %s with all sessions, profile values and second factors?", clean(args[0]))); err != nil {
				return err
			}
			return a.open(command, func(s served) error {
				if err := noSuchUser(s, s.Client.Delete(command.Context(), userPath(args[0], "")), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(command.OutOrStdout(), "%s was deleted\n", clean(args[0]))
				return err
			})
		},
	}
	yesFlag(c, &yes)
	return c
}
