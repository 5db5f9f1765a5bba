// Command kubectl-sso is the kubectl plugin of Sallyport: `kubectl sso`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return exitClean
	case errors.Is(err, errFindings):
		return exitFindings
	default:
		fmt.Fprintln(stderr, "error:", err)
		return exitUsage
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "kubectl-sso",
		Short:   "Single sign-on for Kubernetes: look at it, check it, try it",
		Version: version.Version,
		// An error has one line; the help is one flag away.
		SilenceUsage:  true,
		SilenceErrors: true,
		// As a plugin it is called by two words.
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sso"},
	}
	root.AddCommand(newLintCommand(), newRenderCommand())
	return root
}
