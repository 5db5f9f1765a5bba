package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/web"
	"sallyport.dev/sallyport/internal/web/source"
)

const openTimeout = 60 * time.Second

// addresses are where the listeners ended up, for tests that listen on port 0.
type addresses struct{ public, management, metrics, grpc string }

// run serves until ctx ends, then drains. started, where it is set, is called when the listeners are open.
func run(ctx context.Context, o *options, log *slog.Logger, stdout io.Writer, started func(addresses)) error {
	keys, err := o.factorKeys()
	if err != nil {
		return err
	}
	signer, err := readSigner(o.auditKeyFile, o.auditSuccessionsFile)
	if err != nil {
		return err
	}
	db, err := openStore(ctx, o, signer, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			log.Error("closing the store", "error", err)
		}
	}()
	tracer, err := tracing.FromEnvironment(ctx, "sallyport", log)
	if err != nil {
		return fmt.Errorf("the OTEL_* variables: %w", err)
	}
	defer tracer.Close()
	server, err := web.New(ctx, web.Options{
		Store: db, Log: log, TokenFile: o.tokenFile, Sessions: session.Options{CacheBytes: uint64(o.cacheBytes)},
		SecondFactorKeys: keys, AuditKeys: publicKeys(signer), Tracer: tracer,
		Audit: func(lines []store.AuditLine) error { return writeLines(stdout, lines) },
	})
	if err != nil {
		return err
	}
	// What runs beside the listeners goes on while they drain.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(background); err != nil {
			log.Error("background tasks failed", "error", err)
		}
	})
	if err := follow(background, o, log, server, &running); err != nil {
		return err
	}
	listeners, err := listen(o, log, server)
	if err != nil {
		return err
	}
	if started != nil {
		started(listeners.addresses)
	}
	err = listeners.serve(ctx, func() {
		log.Info("draining", "for", o.drain)
		server.Drain()
	}, o.drain, o.shutdown)
	stop()
	running.Wait()
	return err
}

// publicKeys verify what the signer signs.
func publicKeys(signer *audit.Signer) []ed25519.PublicKey {
	if signer == nil {
		return nil
	}
	return signer.Keys()
}

func openStore(ctx context.Context, o *options, signer *audit.Signer, log *slog.Logger) (*store.DB, error) {
	url, err := o.storeURL()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	settings := store.Options{AuditWriter: o.auditWriter, Signer: signer, Reload: o.storeURL}
	if o.storeCAFile != "" {
		settings.CABundle = (&storeCA{file: o.storeCAFile, log: log}).read
	}
	db, err := store.Open(ctx, url, settings)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return db, nil
}

func readSigner(file, successionsFile string) (*audit.Signer, error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--audit-key-file: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("--audit-key-file holds no PEM block: create one with `openssl genpkey -algorithm ed25519`")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("--audit-key-file: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("--audit-key-file holds a %T: an Ed25519 key is needed", key)
	}
	successions, err := readSuccessions(successionsFile)
	if err != nil {
		return nil, fmt.Errorf("--audit-successions-file: %w", err)
	}
	return audit.NewSigner(private, successions...)
}

// readSuccessions reads what introduced the key; without the file it is the first.
func readSuccessions(file string) (all []audit.Succession, err error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(content, &all)
}

func writeLines(w io.Writer, lines []store.AuditLine) error {
	var all []byte
	for _, l := range lines {
		all = append(append(all, l.Line...), '\n')
	}
	_, err := w.Write(all)
	return err
}

// follow brings snapshots: from the directory at once, from the API server as soon as it answers, which is then the newer one.
func follow(ctx context.Context, o *options, log *slog.Logger, server *web.Server, running *sync.WaitGroup) error {
	overtaken := func() bool { return false }
	var directory *source.Directory
	// A mounted copy lags behind the API server; files without one are all there is.
	fromFiles := server.ApplyLatest
	if o.snapshotSecret != "" {
		fromFiles = server.Apply
	}
	if o.snapshotDir != "" {
		directory = source.NewDirectory(o.snapshotDir, clock.RealClock{}, log)
		// A failure is logged there, and the directory is looked at again.
		_ = directory.Load(fromFiles)
	}
	if o.snapshotSecret != "" {
		secrets, err := inCluster(o, log)
		if err != nil {
			return err
		}
		overtaken = secrets.Live
		running.Go(func() { secrets.Follow(ctx, server.ApplyLatest) })
	}
	if directory != nil {
		running.Go(func() { directory.Follow(ctx, fromFiles, overtaken) })
	}
	return nil
}

func inCluster(o *options, log *slog.Logger) (*source.Secrets, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("--snapshot-secret works inside a cluster only: %w", err)
	}
	namespace, err := o.ownNamespace()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return source.NewSecrets(client, namespace, o.snapshotSecret, log), nil
}
