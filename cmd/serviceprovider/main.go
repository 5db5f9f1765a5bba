// Command serviceprovider is the data plane: it serves the snapshot that the operator compiled, signs people in, and answers proxies.
// It needs no Kubernetes: a directory with snapshot files and a store are enough.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"sallyport.dev/sallyport/internal/version"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "serviceprovider:", err)
		os.Exit(2)
	case o.version:
		fmt.Println(version.String())
		return
	}
	// Audit records have standard output to themselves; the log goes to standard error. It carries no personal values.
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: o.logLevel}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o, log, os.Stdout, nil); err != nil {
		log.Error("the service provider stopped", "error", err)
		os.Exit(1)
	}
}
