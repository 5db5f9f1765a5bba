package main

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	snapshotDir, snapshotSecret, namespace          string
	store, storeURLFile, storeCAFile                string
	listen, managementListen, grpcListen            string
	metricsListen                                   string
	tokenFile, tlsCert, tlsKey                      string
	auditWriter, auditKeyFile, auditSuccessionsFile string
	factorKeyFile                                   string
	cacheBytes                                      int64
	drain, shutdown                                 time.Duration
	logLevel                                        slog.Level
	version                                         bool
}

func parse(args []string, usage io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("serviceprovider", flag.ContinueOnError)
	f.SetOutput(usage)
	f.StringVar(&o.snapshotDir, "snapshot-dir", "", "directory with the snapshot's files, mounted from its Secrets or written by `kubectl sso render`")
	f.StringVar(&o.snapshotSecret, "snapshot-secret", "", "name of the ServiceProvider whose snapshot Secrets to watch; only inside a cluster")
	f.StringVar(&o.namespace, "namespace", "", "namespace of those Secrets (default: the pod's)")
	f.StringVar(&o.store, "store", "", "sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE")
	f.StringVar(&o.storeURLFile, "store-url-file", "", "file that holds the store's URL; it is read again for new connections, so that a password can be rotated")
	f.StringVar(&o.storeCAFile, "store-ca-file", "", "certificates of authorities as PEM that verify a PostgreSQL server, whatever sslmode its URL has; verify-ca alone is kept, which takes any host name. "+
		"The file is read again for new connections (default: sslmode decides, with the system's authorities)")
	f.StringVar(&o.listen, "listen", ":8080", "address of the public port")
	f.StringVar(&o.managementListen, "management-listen", "127.0.0.1:8081", "address of the management port: probes, metrics and /v1/")
	f.StringVar(&o.metricsListen, "metrics-listen", "", "address of a port that answers /metrics and nothing else, for a scraper that must not reach the management port (default: not served)")
	f.StringVar(&o.grpcListen, "grpc-listen", "", "address of Envoy's ext_authz over gRPC (default: not served)")
	f.StringVar(&o.tokenFile, "management-token-file", "", "file that holds the bearer token of the management API (default: the API refuses everything)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate chain as PEM, to serve https directly (default: http, behind a proxy that ends TLS)")
	f.StringVar(&o.tlsKey, "tls-key", "", "private key of --tls-cert as PEM")
	f.StringVar(&o.auditWriter, "audit-writer", "", "name of this process in the audit log, the same after a restart (default: the host's name)")
	f.StringVar(&o.auditKeyFile, "audit-key-file", "", "Ed25519 private key as PKCS #8 PEM that signs audit checkpoints (default: none are written)")
	f.StringVar(&o.auditSuccessionsFile, "audit-successions-file", "", "JSON list of how each earlier audit key introduced the next; a missing file means that the key is the first")
	f.StringVar(&o.factorKeyFile, "second-factor-key-file", "", "keys that encrypt second factors, 32 bytes each in base64, one a line, the newest first (default: no second factor)")
	f.Int64Var(&o.cacheBytes, "session-cache-bytes", 64<<20, "memory for the session cache")
	f.DurationVar(&o.drain, "drain", 3*time.Second, "how long to keep serving after SIGTERM, while readiness fails and proxies look elsewhere")
	f.DurationVar(&o.shutdown, "shutdown-timeout", 20*time.Second, "how long requests that run may take to end after that")
	f.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.version {
		return o, nil
	}
	return o, o.check(f.Args())
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not a flag: run with --help", rest[0])
	case o.snapshotDir == "" && o.snapshotSecret == "":
		return errors.New("--snapshot-dir or --snapshot-secret says where the snapshot is")
	case (o.store == "") == (o.storeURLFile == ""):
		return errors.New("exactly one of --store and --store-url-file says where the store is, for example --store sqlite:///var/lib/sallyport/store.db")
	case o.storeCAFile != "" && strings.HasPrefix(o.store, "sqlite:"):
		return errors.New("--store-ca-file is for PostgreSQL: leave it out with SQLite")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case o.cacheBytes < 1<<20:
		return errors.New("--session-cache-bytes is less than 1 MiB")
	}
	return nil
}

// storeURL is the store's URL of today.
func (o *options) storeURL() (string, error) {
	if o.storeURLFile == "" {
		return o.store, nil
	}
	content, err := os.ReadFile(o.storeURLFile)
	if err != nil {
		return "", fmt.Errorf("--store-url-file: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// factorKeys reads the keys that encrypt second factors.
func (o *options) factorKeys() ([][]byte, error) {
	if o.factorKeyFile == "" {
		return nil, nil
	}
	content, err := os.ReadFile(o.factorKeyFile)
	if err != nil {
		return nil, fmt.Errorf("--second-factor-key-file: %w", err)
	}
	var keys [][]byte
	for i, line := range strings.Fields(string(content)) {
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("--second-factor-key-file: line %d is not 32 bytes in base64: create one with `openssl rand -base64 32`", i+1)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("--second-factor-key-file holds no key: create one with `openssl rand -base64 32`")
	}
	return keys, nil
}

// ownNamespace is the namespace to look in: the flag's, or where the pod runs.
func (o *options) ownNamespace() (string, error) {
	if o.namespace != "" {
		return o.namespace, nil
	}
	content, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return "", fmt.Errorf("--namespace is missing, and the pod's own is not known: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}
