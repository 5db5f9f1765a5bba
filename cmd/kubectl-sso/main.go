// Command kubectl-sso is the kubectl plugin of Sallyport: `kubectl sso`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sallyport.dev/sallyport/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Options{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
