package web

import (
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
)

// NewExtAuthz is a gRPC server with Envoy's external authorization service on it.
func (s *Server) NewExtAuthz(options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(options...)
	authv3.RegisterAuthorizationServer(server, s.gate.ExtAuthz())
	return server
}
