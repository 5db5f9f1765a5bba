package web

import (
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// checksAtOnce bounds the checks of one connection: Envoy opens another one when it has more.
	checksAtOnce = 100
	// maxCheck bounds one check, in bytes: Envoy takes 60 KiB of headers from a client unless it was told otherwise, and adds what it knows itself.
	maxCheck = 128 << 10
	// maxCheckHeaders bounds what is around it, in bytes. Envoy sends a few short headers.
	maxCheckHeaders = 16 << 10
)

// extAuthzLimits bound what a client can hold. A connection ends after some minutes, without a loss: what hangs in it ends too, and pods that were added get their share of
// Envoy's connections, which are never closed otherwise. Envoy may look after its connection as often as it is usual to, which gRPC takes for a flood by default.
func extAuthzLimits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(checksAtOnce), grpc.MaxRecvMsgSize(maxCheck), grpc.MaxHeaderListSize(maxCheckHeaders), grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 3 * time.Minute, MaxConnectionAge: 5 * time.Minute, MaxConnectionAgeGrace: 30 * time.Second,
			Time: time.Minute, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

// NewExtAuthz is a gRPC server with Envoy's external authorization service on it.
func (s *Server) NewExtAuthz(options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(extAuthzLimits(), options...)...)
	authv3.RegisterAuthorizationServer(server, s.gate.ExtAuthz())
	return server
}
