package main

import (
	"errors"
	"net"
	"strings"
	"testing"
)

// TestAPortThatIsTakenLeavesNoneOpen: the error names the flag, and the ports that were opened before it are closed again.
func TestAPortThatIsTakenLeavesNoneOpen(t *testing.T) {
	const free = "127.0.0.1:0"
	taken, err := net.Listen("tcp", free)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var l listeners
	err = l.open(&options{listen: free, managementListen: free, metricsListen: free, grpcListen: taken.Addr().String()})
	if err == nil || !strings.HasPrefix(err.Error(), "--grpc-listen: ") {
		t.Fatalf("%v", err)
	}
	for name, port := range map[string]net.Listener{"public": l.publicPort, "management": l.managementPort, "metrics": l.metricsPort} {
		if err := port.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the %s port was still open: %v", name, err)
		}
	}
}
