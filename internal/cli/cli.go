// Package cli is `kubectl sso`: what people type to look at their single sign-on, to check it and to change it. It decides nothing that the operator or a service
// provider decides: it reads objects, asks one pod, and words the answers.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli/cluster"
	"sallyport.dev/sallyport/internal/cli/manage"
	"sallyport.dev/sallyport/internal/version"
)

// Exit codes, the same for every command.
const (
	exitClean    = 0
	exitFindings = 1
	exitUsage    = 2
)

// errFindings says that the command did its work and found something; it has been printed already.
var errFindings = errors.New("findings")

// Options of Run.
type Options struct {
	In       io.Reader
	Out, Err io.Writer
	// Forward is how pods are reached; nil is through the API server.
	Forward cluster.Forwarder
}

// Run runs one command line and returns the exit code: 0 all is well, 1 something was found, 2 the command could not do its work.
func Run(ctx context.Context, args []string, o Options) int {
	// What the libraries log is not for people: an error has one line, and it is ours.
	klog.SetLogger(logr.Discard())
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	root := NewCommand(o.Forward)
	root.SetArgs(args)
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.Err)
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return exitClean
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitUsage
	default:
		fmt.Fprintln(o.Err, "error:", strings.TrimSpace(err.Error()))
		return exitUsage
	}
}

// app is what the commands that need a cluster share.
type app struct {
	flags           *genericclioptions.ConfigFlags
	forward         cluster.Forwarder
	serviceProvider string
}

// NewCommand makes the whole command. forward is how pods are reached; nil is through the API server.
func NewCommand(forward cluster.Forwarder) *cobra.Command {
	a := &app{flags: genericclioptions.NewConfigFlags(true), forward: forward}
	root := &cobra.Command{
		Use:     "kubectl-sso",
		Short:   "Single sign-on for Kubernetes: inspect, check and change it",
		Version: version.String(),
		// An error has one line; the help is one flag away.
		SilenceUsage:  true,
		SilenceErrors: true,
		// As a plugin it is called by two words.
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sso"},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: see `%s --help`", err, c.CommandPath())
	})
	a.flags.AddFlags(root.PersistentFlags())
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.AddGroup(&cobra.Group{ID: groupLook, Title: "Inspect:"}, &cobra.Group{ID: groupFiles, Title: "Check manifests, without a cluster:"},
		&cobra.Group{ID: groupPeople, Title: "Users:"}, &cobra.Group{ID: groupConnections, Title: "Connections:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupLook, a.statusCommand(), a.explainCommand(), a.debugCommand(), a.auditCommand())
	add(groupFiles, newLintCommand(), newRenderCommand())
	add(groupPeople, a.usersCommand(), a.sessionsCommand(), a.breakGlassCommand())
	add(groupConnections, a.testCommand(), a.refreshCommand(), a.rotateCommand())
	return commands(root)
}

// usageTemplate is cobra's, without the twenty flags of kubectl below every command: what is said of a command fits on a screen.
func usageTemplate(original string) string {
	const (
		flags = `{{if .HasAvailableInheritedFlags}}

Global Flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}`
		fewer = `{{if .HasParent}}{{if and .Parent.HasParent .Parent.HasAvailablePersistentFlags}}

Flags of {{.Parent.CommandPath}}:
{{.Parent.PersistentFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if ne .GroupID "` + groupFiles + `"}}

The flags of kubectl work too, such as -n, --context, --kubeconfig and --as: {{.Root.CommandPath}} --help lists them.{{end}}{{end}}`
	)
	return strings.Replace(original, flags, fewer, 1)
}

const (
	groupLook        = "look"
	groupFiles       = "files"
	groupPeople      = "people"
	groupConnections = "connections"
)

func (a *app) connect() (*cluster.Cluster, error) { return cluster.Connect(a.flags, a.forward) }

// pickServiceProvider adds the flag that chooses among several ServiceProviders.
func (a *app) pickServiceProvider(flags *pflag.FlagSet) {
	flags.StringVar(&a.serviceProvider, "service-provider", "", "name of the ServiceProvider, when the namespace has several")
}

// served is a ServiceProvider with the management API of one of its pods.
type served struct {
	*cluster.Cluster
	*manage.Client
	serviceProvider *v1alpha1.ServiceProvider
}

// open opens the management API of the ServiceProvider that the flags choose, for as long as f runs.
func (a *app) open(command *cobra.Command, f func(s served) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	sp, err := c.ServiceProvider(command.Context(), a.serviceProvider)
	if err != nil {
		return err
	}
	return openOf(command, c, sp, f)
}

// openFor is open for the ServiceProvider that an IdentityProvider belongs to.
func (a *app) openFor(command *cobra.Command, typed string, f func(s served, idp *v1alpha1.IdentityProvider) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	idp, err := c.IdentityProvider(command.Context(), typed)
	if err != nil {
		return err
	}
	sp, err := c.ServiceProvider(command.Context(), string(idp.Spec.ServiceProviderRef.Name))
	if err != nil {
		return err
	}
	return openOf(command, c, sp, func(s served) error { return f(s, idp) })
}

// knows refuses the name of an IdentityProvider of which nothing was found because there is none: a slip of the pen must not look like good news.
func (s served) knows(ctx context.Context, idp string) error {
	if idp == "" {
		return nil
	}
	_, err := s.Cluster.IdentityProvider(ctx, idp)
	return err
}

// idpFlag adds --idp. The value is read by idpOf.
func idpFlag(c *cobra.Command, idp *string, what string) {
	c.Flags().StringVar(idp, "idp", "", what+" (idp/NAME or NAME)")
}

// idpOf is the name in the value of --idp; empty: there is none.
func idpOf(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	return cluster.IdPName(value)
}

func openOf(command *cobra.Command, c *cluster.Cluster, sp *v1alpha1.ServiceProvider, f func(s served) error) error {
	p := newProgress(command.ErrOrStderr())
	p.show("opening the management port of ServiceProvider %s", sp.Name)
	m, closeAll, err := c.Manage(command.Context(), sp)
	p.done()
	if err != nil {
		return err
	}
	defer closeAll()
	return f(served{c, m, sp})
}

// oneOf refuses a flag's value that is none of the allowed ones.
func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s %q: write one of %s", flag, value, strings.Join(allowed, ", "))
}

// exactly wants so many arguments and says what they are.
func exactly(what ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(what) {
			return fmt.Errorf("%s takes %s, but %s given: see `%s --help`", c.CommandPath(), describeArgs(what), plural(len(args), "argument was", "arguments were"), c.CommandPath())
		}
		return nil
	}
}

func describeArgs(what []string) string {
	if len(what) == 0 {
		return "no argument"
	}
	return strings.Join(what, " and ")
}

// commands is for a command that only holds others.
func commands(c *cobra.Command, inner ...*cobra.Command) *cobra.Command {
	c.AddCommand(inner...)
	c.Args, c.SuggestionsMinimumDistance = cobra.ArbitraryArgs, 2
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(c, args[0])
		}
		return c.Help()
	}
	return c
}

// unknownCommand is one line, as every error.
func unknownCommand(c *cobra.Command, typed string) error {
	hint := ""
	if meant := c.SuggestionsFor(typed); len(meant) > 0 {
		hint = fmt.Sprintf(" (did you mean %s?)", strings.Join(meant, " or "))
	}
	return fmt.Errorf("unknown command %q%s: see `%s --help`", typed, hint, c.CommandPath())
}

// since reads a duration such as 90d, 12h or 30m before now, or a time in RFC 3339.
func since(flag, value string, now time.Time) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t, nil
	}
	text, days := strings.CutSuffix(value, "d")
	if days {
		text += "h"
	}
	d, err := time.ParseDuration(text)
	if days {
		d *= 24
	}
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%s %q is neither a duration such as 90d, 12h or 30m nor a time such as 2026-11-23T10:00:00Z", flag, value)
	}
	return now.Add(-d), nil
}
