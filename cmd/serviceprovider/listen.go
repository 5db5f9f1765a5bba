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
	l.public = httpServer(server.Public(), errorLog)
	l.public.IdleTimeout, l.public.TLSConfig = idleTimeout, certificate
	l.management = httpServer(server.Management(), errorLog)
	l.management.IdleTimeout = idleTimeout
	if o.metricsListen != "" {
		if l.metricsPort, err = net.Listen("tcp", o.metricsListen); err != nil {
			return nil, errors.Join(fmt.Errorf("--metrics-listen: %w", err), l.publicPort.Close(), l.managementPort.Close())
		}
		l.addresses.metrics = l.metricsPort.Addr().String()
		l.metrics = httpServer(server.Metrics(), errorLog)
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

// httpServer is one with the limits of every port.
func httpServer(handler http.Handler, errorLog *log.Logger) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog}
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
