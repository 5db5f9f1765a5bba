package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

// serviceProviderProcess is the real program on a store of its own.
type serviceProviderProcess struct {
	peerProcess
	people *people
	dir    string
	// management is HOST:PORT of the management port.
	management string
}

func (p *serviceProviderProcess) stop() {
	p.peerProcess.stop()
	_ = os.RemoveAll(p.dir)
}

// startServiceProvider runs it with known sessions in a store of total.
func startServiceProvider(ctx context.Context, known, total int) (*serviceProviderProcess, error) {
	return startServiceProviderWith(ctx, benchSnapshot(), known, total)
}

func startServiceProviderWith(ctx context.Context, s snapshot.Snapshot, known, total int) (*serviceProviderProcess, error) {
	dir, err := os.MkdirTemp("", "sallyport-bench")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "store.db")
	people, err := fill(ctx, file, known, total)
	if err != nil {
		return nil, fmt.Errorf("signing people in: %w", err)
	}
	p, err := startOn(dir, s)
	if p != nil {
		p.people, p.cookie = people, cookieName+people.small
	}
	return p, err
}

// startOn runs it on the store.db of a directory, which is removed when it is stopped.
func startOn(dir string, s snapshot.Snapshot, flags ...string) (*serviceProviderProcess, error) {
	encoded, err := snapshot.Encode(s)
	if err != nil {
		return nil, err
	}
	for name, content := range encoded.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	public, err := freeAddress()
	if err != nil {
		return nil, err
	}
	management, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(benchToken+"\n"), 0o600); err != nil {
		return nil, err
	}
	args := append([]string{"--snapshot-dir", dir, "--store", "sqlite://" + filepath.Join(dir, "store.db"), "--listen", public, "--management-listen", management,
		"--management-token-file", filepath.Join(dir, "token"), "--log-level", "warn"}, flags...)
	command := exec.Command(filepath.Join("bin", "serviceprovider"), args...)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%w: make build makes it", err)
	}
	p := &serviceProviderProcess{peerProcess: peerProcess{command: command, address: public}, dir: dir, management: management}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		response, err := http.Get("http://" + management + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, errors.Join(errors.New("the service provider was not ready within 30 s"), err)
		}
	}
}

// cookieName of a ServiceProvider called main whose cookie stays on its host.
const cookieName = "__Host-sso-main="

func benchSnapshot() snapshot.Snapshot {
	return snapshot.Snapshot{
		ServiceProvider: snapshot.ServiceProvider{Name: "main", Namespace: "bench", URL: "https://sso.example.com",
			Session: snapshot.Session{Lifetime: time.Hour, IdleTimeout: time.Hour, SameSite: "Lax"}, DebugLog: snapshot.DebugLog{Retention: time.Hour, MaxEntries: 100}},
		Connections: []snapshot.Connection{benchConnection()},
	}
}

// benchIdP is made anew for every run.
var benchIdP = sync.OnceValue(func() *samltest.IdP {
	idp, err := samltest.NewIdP("https://idp.example.com/okta", "https://idp.example.com/sso", "", time.Now())
	if err != nil {
		panic(err)
	}
	return idp
})

// benchConnection is the connection to benchIdP.
var benchConnection = sync.OnceValue(func() snapshot.Connection {
	key, err := samltest.SPKey(snapshot.KeyCurrent, "bench", time.Now())
	if err != nil {
		panic(err)
	}
	return snapshot.Connection{Name: "okta", UID: "okta", Type: "Okta", Enabled: true, CatchAll: true, EntityID: "https://sso.example.com/saml/okta",
		ACSURL: "https://sso.example.com/saml/okta/acs", Mapping: identity.Preset("Okta"), Provisioning: snapshot.Provisioning{JIT: true},
		Trust: benchIdP().Trust(), Keys: []snapshot.SPKey{key}}
})

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
