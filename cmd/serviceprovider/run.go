package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/web"
	"sallyport.dev/sallyport/internal/web/source"
)

const shutdown = 15 * time.Second

func run(ctx context.Context, o options, log *slog.Logger) error {
	if err := o.check(); err != nil {
		return err
	}
	storeURL, err := o.storeURL()
	if err != nil {
		return err
	}
	database, err := store.Open(ctx, storeURL, store.Options{AuditWriter: o.auditWriter, Reload: o.storeURL})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer database.Close()
	program, err := web.New(ctx, web.Options{Store: database, Log: log, TokenFile: o.tokenFile, Audit: writeAudit})
	if err != nil {
		return err
	}
	// What runs in the background outlives the signal to stop: until the last request is answered, sessions end and records go out.
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- program.Run(background) }()
	follow(background, o, program, log)
	err = serve(ctx, o, program, log)
	stopBackground()
	return errors.Join(err, <-ended)
}

// serve answers on both ports until ctx ends.
func serve(ctx context.Context, o options, program *web.Server, log *slog.Logger) error {
	public, err := listen(o.listen, program.Public())
	if err != nil {
		return err
	}
	private, err := listen(o.managementListen, program.Management())
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- public.serve(o.tlsCertificate, o.tlsKey) }()
	go func() { failed <- private.serve("", "") }()
	log.Info("serving", "address", public.listener.Addr().String(), "management", private.listener.Addr().String())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Readiness fails first, and everything is still answered until every proxy has noticed; only then the last requests finish.
	log.Info("stopping", "drain", o.drain.String())
	program.Drain()
	time.Sleep(o.drain)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	return errors.Join(public.http.Shutdown(ctx), private.http.Shutdown(ctx))
}

// writeAudit puts audit records on standard output, one a line.
func writeAudit(lines []store.AuditLine) error {
	w := bufio.NewWriter(os.Stdout)
	for _, line := range lines {
		w.Write(line.Line)
		w.WriteByte('\n')
	}
	return w.Flush()
}

// server is one port.
type server struct {
	listener net.Listener
	http     *http.Server
}

func listen(address string, handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &server{listener, &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}}, nil
}

func (s *server) serve(certificate, key string) error {
	var err error
	if certificate != "" {
		err = s.http.ServeTLS(s.listener, certificate, key)
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// follow takes snapshots from the directory, and from the API server where there is one: what is mounted serves while the API server is down.
func follow(ctx context.Context, o options, program *web.Server, log *slog.Logger) {
	live := func() bool { return false }
	if o.snapshotSecret != "" {
		if client, err := inCluster(); err != nil {
			log.Warn("the API server cannot be used; the mounted snapshot is followed alone", "error", err)
		} else {
			secrets := source.NewSecrets(client, o.namespace, o.snapshotSecret, log)
			live = secrets.Live
			go secrets.Follow(ctx, program.Apply)
		}
	}
	if o.snapshotDir == "" {
		return
	}
	directory := source.NewDirectory(o.snapshotDir, clock.RealClock{}, log)
	// The first look is before the ports open, so that a pod that was restarted is ready at once. What is not there yet comes later.
	_ = directory.Load(program.Apply)
	go directory.Follow(ctx, program.Apply, live)
}

func inCluster() (dynamic.Interface, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	return dynamic.NewForConfig(config)
}

