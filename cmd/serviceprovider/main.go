// Command serviceprovider is Sallyport's data plane: it serves one snapshot, signs people in, and answers the proxies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"sallyport.dev/sallyport/internal/version"
)

// options is the command line.
type options struct {
	snapshotDir, snapshotSecret, namespace string
	store, storeURLFile                    string
	listen, managementListen               string
	tlsCertificate, tlsKey                 string
	tokenFile, auditWriter                 string
	drain                                  time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.snapshotDir, "snapshot-dir", "", "directory with the files of the snapshot, as `kubectl sso render` writes them or Kubernetes mounts them")
	flag.StringVar(&o.snapshotSecret, "snapshot-secret", "", "name of the ServiceProvider whose snapshot Secrets are watched through the API server, besides the directory")
	flag.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of those Secrets")
	flag.StringVar(&o.store, "store", "", "URL of the store: sqlite://FILE or postgres://...")
	flag.StringVar(&o.storeURLFile, "store-url-file", "", "file with the URL of the store; read anew for every connection, so that a password can be rotated")
	flag.StringVar(&o.listen, "listen", ":8080", "address that browsers and proxies reach")
	flag.StringVar(&o.managementListen, "management-listen", "127.0.0.1:8081", "address of health, metrics and the management API")
	flag.StringVar(&o.tlsCertificate, "tls-cert", "", "PEM certificate for --listen; without one it speaks plain HTTP behind a proxy")
	flag.StringVar(&o.tlsKey, "tls-key", "", "PEM key of that certificate")
	flag.StringVar(&o.tokenFile, "management-token-file", "", "file with the bearer token of the management API; without one the API refuses everything")
	flag.StringVar(&o.auditWriter, "audit-writer", os.Getenv("POD_NAME"), "name of this process in the audit log")
	flag.DurationVar(&o.drain, "drain", 3*time.Second, "how long to go on serving after readiness fails, so that every proxy has noticed")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println(version.String())
		return
	}
	// Audit records go to standard output, one JSON object a line; everything else to standard error.
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, log); err != nil {
		log.Error("the service provider stopped", "error", err)
		os.Exit(1)
	}
}

func (o options) check() error {
	switch {
	case o.snapshotDir == "" && o.snapshotSecret == "":
		return errors.New("nothing to serve: set --snapshot-dir, --snapshot-secret or both")
	case o.snapshotSecret != "" && o.namespace == "":
		return errors.New("--snapshot-secret needs --namespace")
	case (o.store == "") == (o.storeURLFile == ""):
		return errors.New("set exactly one of --store and --store-url-file")
	case (o.tlsCertificate == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	}
	return nil
}

// storeURL is the URL of now.
func (o options) storeURL() (string, error) {
	if o.storeURLFile == "" {
		return o.store, nil
	}
	content, err := os.ReadFile(o.storeURLFile)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(content)), nil
}
