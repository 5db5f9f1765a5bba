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
	"runtime"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
)

// authzSuite measures the forward-auth check for nginx beside a bare handler that writes the same headers, and beside the session check of
// crewjam's middleware. Each is a process of its own, on the same machine as the load.
func authzSuite(ctx context.Context, o options) ([]Result, error) {
	ours, err := startServiceProvider(ctx)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	contestants := map[string]*peerProcess{"sallyport": &ours.peerProcess}
	for _, name := range []string{"bare", "samlsp"} {
		if contestants[name], err = startPeer(name); err != nil {
			return nil, err
		}
		defer contestants[name].stop()
	}
	var results []Result
	for _, connections := range []int{runtime.GOMAXPROCS(0), 16} {
		measured := map[string]stats{}
		// In turns, so that a machine that slows down slows all of them.
		for range 3 {
			for name, peer := range contestants {
				now, err := load{Address: peer.address, Request: checkRequest(peer.cookie), Status: http.StatusOK, Connections: connections, Duration: o.duration / 3}.run()
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				best := measured[name]
				if now.PerSecond > best.PerSecond {
					measured[name] = now
				}
			}
		}
		results = append(results, compare(measured, connections)...)
	}
	return results, nil
}

func compare(measured map[string]stats, connections int) []Result {
	ours := measured["sallyport"]
	var results []Result
	for _, against := range []string{"bare", "samlsp"} {
		peer := measured[against]
		results = append(results,
			Result{Name: fmt.Sprintf("checks, %d connections", connections), Value: ours.PerSecond, Unit: "1/s", Against: against, Ratio: ours.PerSecond / peer.PerSecond},
			Result{Name: fmt.Sprintf("p99 of a check, %d connections", connections), Value: float64(ours.P99.Microseconds()), Unit: "us", Against: against, Ratio: float64(ours.P99) / float64(peer.P99)})
	}
	return results
}

func checkRequest(cookie string) []byte {
	return []byte("GET /authz/nginx HTTP/1.1\r\nHost: sso.example.com\r\nCookie: " + cookie + "\r\nX-Original-URL: https://app.example.com/dashboard\r\n\r\n")
}

type serviceProviderProcess struct {
	peerProcess
	dir string
}

func (p *serviceProviderProcess) stop() {
	p.peerProcess.stop()
	_ = os.RemoveAll(p.dir)
}

// startServiceProvider runs the real program on a store in which one person is signed in.
func startServiceProvider(ctx context.Context) (*serviceProviderProcess, error) {
	dir, err := os.MkdirTemp("", "sallyport-bench")
	if err != nil {
		return nil, err
	}
	token, err := signIn(ctx, "sqlite://"+filepath.Join(dir, "store.db"))
	if err != nil {
		return nil, fmt.Errorf("signing somebody in: %w", err)
	}
	encoded, err := snapshot.Encode(benchSnapshot())
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
	command := exec.Command(filepath.Join("bin", "serviceprovider"), "--snapshot-dir", dir, "--store", "sqlite://"+filepath.Join(dir, "store.db"),
		"--listen", public, "--management-listen", management)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%w: make build makes it", err)
	}
	p := &serviceProviderProcess{peerProcess{command, public, "__Host-sso-main=" + token}, dir}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		response, err := http.Get("http://" + management + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, errors.Join(errors.New("the service provider was not ready within 10 s"), err)
		}
	}
}

func benchSnapshot() snapshot.Snapshot {
	return snapshot.Snapshot{
		ServiceProvider: snapshot.ServiceProvider{Name: "main", Namespace: "bench", URL: "https://sso.example.com",
			Session: snapshot.Session{Lifetime: time.Hour, IdleTimeout: time.Hour, SameSite: "Lax"}, DebugLog: snapshot.DebugLog{Retention: time.Hour, MaxEntries: 100}},
		Connections: []snapshot.Connection{benchConnection()},
	}
}

func benchConnection() snapshot.Connection {
	return snapshot.Connection{Name: "okta", UID: "okta", Type: "Okta", Enabled: true, CatchAll: true, EntityID: "https://sso.example.com/saml/okta",
		ACSURL: "https://sso.example.com/saml/okta/acs", Mapping: identity.Preset("Okta"), Provisioning: snapshot.Provisioning{JIT: true}}
}

// signIn signs one person in, as the service provider does after an assertion was verified.
func signIn(ctx context.Context, url string) (token string, err error) {
	database, err := store.Open(ctx, url, store.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	s := benchSnapshot()
	mapping, err := identity.CompileMapping(s.Connections[0].Mapping)
	if err != nil {
		return "", err
	}
	now := time.Now()
	result, err := provision.NewService(database).SignIn(ctx, provision.SignIn{
		Connection: provision.Connection{IdP: store.IdPRef{UID: "okta", Name: "okta"}, Enabled: true, Provisioning: s.Connections[0].Provisioning, Mapping: mapping},
		Domains:    identity.NewDomainTable(nil, s.Connections),
		Session:    s.ServiceProvider.Session,
		Assertion: provision.Assertion{ID: "_bench", ReplayUntil: now.Add(time.Minute), Input: identity.Input{
			Attributes: map[string][]string{"email": {"alice@acme.example"}, "firstName": {"Alice"}, "lastName": {"Example"}, "groups": {"dev", "ml-team"}}}},
	})
	if err != nil {
		return "", err
	}
	return result.Token, nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
