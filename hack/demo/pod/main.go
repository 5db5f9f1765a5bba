// Command pod runs one of the two programs that the demonstration puts into pods: the identity provider, or the application.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sallyport.dev/sallyport/hack/demo/echo"
	"sallyport.dev/sallyport/hack/demo/idp"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: pod idp|echo --listen ADDR --sso URL [--url URL --tls DIR --signing DIR]")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	listen := flags.String("listen", ":8080", "address to listen on")
	sso := flags.String("sso", "", "external URL of the service provider")
	external := flags.String("url", "", "external URL of the identity provider")
	tlsDir := flags.String("tls", "", "folder of tls.crt and tls.key to serve with; plain HTTP without")
	signing := flags.String("signing", "", "folder of tls.crt and tls.key to sign assertions with")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	var handler http.Handler
	switch args[0] {
	case "echo":
		handler = echo.Handler(*sso)
	case "idp":
		pair, err := tls.LoadX509KeyPair(*signing+"/tls.crt", *signing+"/tls.key")
		if err != nil {
			return err
		}
		server, err := idp.New(*external, *sso, pair, slog.Default())
		if err != nil {
			return err
		}
		handler = server.Handler()
	default:
		return fmt.Errorf("%q is neither idp nor echo", args[0])
	}
	return serve(&http.Server{Addr: *listen, Handler: handler, ReadHeaderTimeout: 5 * time.Second}, *tlsDir)
}

// serve stops two seconds after it is told to, when nobody sends it requests any more.
func serve(server *http.Server, tlsDir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		if tlsDir == "" {
			failed <- server.ListenAndServe()
		} else {
			failed <- server.ListenAndServeTLS(tlsDir+"/tls.crt", tlsDir+"/tls.key")
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	}
}
