package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
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

const (
	openTimeout = 60 * time.Second
	// Proxies keep connections to us for about a minute: ours must last longer, or one is closed just as a request goes out.
	idleTimeout    = 3 * time.Minute
	maxHeaderBytes = 64 << 10
	// maxGRPCConnections are those of one address: an Envoy has one for each of its workers, which are as many as its processors.
	maxGRPCConnections = 128
)

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
	db, err := openStore(ctx, o, signer)
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
		Store: db, Log: log, TokenFile: o.tokenFile, MaxBody: o.maxBody, Sessions: session.Options{CacheBytes: uint64(o.cacheBytes)},
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
			log.Error("keeping house", "error", err)
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

func openStore(ctx context.Context, o *options, signer *audit.Signer) (*store.DB, error) {
	url, err := o.storeURL()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	db, err := store.Open(ctx, url, store.Options{AuditWriter: o.auditWriter, Signer: signer, Reload: o.storeURL})
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
		return nil, errors.New("--audit-key-file holds no PEM block: make one with `openssl genpkey -algorithm ed25519`")
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

// listeners are the open ports.
type listeners struct {
	addresses
	public, management, metrics             *http.Server
	publicPort, managementPort, metricsPort net.Listener
	grpc                                    *grpc.Server
	grpcPort                                net.Listener
}

func listen(o *options, log *slog.Logger, server *web.Server) (*listeners, error) {
	var certificate *tls.Config
	if o.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		certificate = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	l := &listeners{}
	var err error
	if l.publicPort, err = net.Listen("tcp", o.listen); err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if l.managementPort, err = net.Listen("tcp", o.managementListen); err != nil {
		return nil, errors.Join(fmt.Errorf("--management-listen: %w", err), l.publicPort.Close())
	}
	l.addresses.public, l.addresses.management = l.publicPort.Addr().String(), l.managementPort.Addr().String()
	if certificate != nil {
		l.publicPort = tls.NewListener(l.publicPort, certificate)
	}
	errorLog := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	l.public = &http.Server{Handler: server.Public(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog, TLSConfig: certificate}
	l.management = &http.Server{Handler: server.Management(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog}
	if o.metricsListen != "" {
		if l.metricsPort, err = net.Listen("tcp", o.metricsListen); err != nil {
			return nil, errors.Join(fmt.Errorf("--metrics-listen: %w", err), l.publicPort.Close(), l.managementPort.Close())
		}
		l.addresses.metrics = l.metricsPort.Addr().String()
		l.metrics = &http.Server{Handler: server.Metrics(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second, MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog}
	}
	if o.grpcListen == "" {
		return l, nil
	}
	if l.grpcPort, err = net.Listen("tcp", o.grpcListen); err != nil {
		return nil, errors.Join(fmt.Errorf("--grpc-listen: %w", err), l.publicPort.Close(), l.managementPort.Close())
	}
	l.addresses.grpc = l.grpcPort.Addr().String()
	l.grpcPort = newPerAddress(l.grpcPort, maxGRPCConnections, log)
	var options []grpc.ServerOption
	if certificate != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(certificate)))
	}
	l.grpc = server.NewExtAuthz(options...)
	return l, nil
}

// serve runs until ctx ends or a listener fails. Then readiness fails first, everything is served on for drain, and what still runs gets timeout to end.
func (l *listeners) serve(ctx context.Context, beginDrain func(), drain, timeout time.Duration) error {
	failed := make(chan error, 4)
	go func() { failed <- l.public.Serve(l.publicPort) }()
	go func() { failed <- l.management.Serve(l.managementPort) }()
	if l.metrics != nil {
		go func() { failed <- l.metrics.Serve(l.metricsPort) }()
	}
	if l.grpc != nil {
		go func() { failed <- l.grpc.Serve(l.grpcPort) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		beginDrain()
		select {
		case err = <-failed:
		case <-time.After(drain):
		}
	}
	last, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if l.grpc != nil {
		stopped := make(chan struct{})
		go func() { l.grpc.GracefulStop(); close(stopped) }()
		select {
		case <-stopped:
		case <-last.Done():
			l.grpc.Stop()
		}
	}
	err = errors.Join(err, l.public.Shutdown(last))
	if l.metrics != nil {
		err = errors.Join(err, l.metrics.Shutdown(last))
	}
	// The management port goes last: probes are answered to the end.
	return errors.Join(err, l.management.Shutdown(last))
}
