package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"sallyport.dev/sallyport/internal/web"
)

const (
	// Proxies keep connections to us for about a minute: ours must last longer, or one is closed just as a request goes out.
	idleTimeout    = 3 * time.Minute
	maxHeaderBytes = 64 << 10
	// maxGRPCConnections are those of one address: an Envoy has one for each of its workers, which are as many as its processors.
	maxGRPCConnections = 128
)

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
	if err := l.open(o); err != nil {
		return nil, err
	}
	if certificate != nil {
		l.publicPort = tls.NewListener(l.publicPort, certificate)
	}
	errorLog := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	l.public = httpServer(server.Public(), errorLog)
	l.public.IdleTimeout, l.public.TLSConfig = idleTimeout, certificate
	l.management = httpServer(server.Management(), errorLog)
	l.management.IdleTimeout = idleTimeout
	if l.metricsPort != nil {
		l.metrics = httpServer(server.Metrics(), errorLog)
	}
	if l.grpcPort == nil {
		return l, nil
	}
	l.grpcPort = newPerAddress(l.grpcPort, maxGRPCConnections, log)
	var options []grpc.ServerOption
	if certificate != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(certificate)))
	}
	l.grpc = server.NewExtAuthz(options...)
	return l, nil
}

// open opens every port that the flags ask for, or none.
func (l *listeners) open(o *options) error {
	var opened []net.Listener
	for _, p := range []struct {
		flag, address string
		optional      bool
		port          *net.Listener
		bound         *string
	}{
		{"--listen", o.listen, false, &l.publicPort, &l.addresses.public},
		{"--management-listen", o.managementListen, false, &l.managementPort, &l.addresses.management},
		{"--metrics-listen", o.metricsListen, true, &l.metricsPort, &l.addresses.metrics},
		{"--grpc-listen", o.grpcListen, true, &l.grpcPort, &l.addresses.grpc},
	} {
		if p.optional && p.address == "" {
			continue
		}
		port, err := net.Listen("tcp", p.address)
		if err != nil {
			err = fmt.Errorf("%s: %w", p.flag, err)
			for _, other := range opened {
				err = errors.Join(err, other.Close())
			}
			return err
		}
		opened = append(opened, port)
		*p.port, *p.bound = port, port.Addr().String()
	}
	return nil
}

// httpServer is one with the limits of every port.
func httpServer(handler http.Handler, errorLog *log.Logger) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog}
}

// serve runs until ctx ends or a listener fails. On ctx it fails readiness and keeps serving for drain; requests in flight then have up to timeout to finish.
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
