package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

const (
	startConnections = 100
	starts           = 11
	// settling is when what the start needed has been let go.
	settling = 500 * time.Millisecond
)

// startSuite measures how soon the service provider is ready with a hundred connections, and what it holds when it does nothing.
func startSuite(context.Context) ([]Result, error) {
	dir, err := os.MkdirTemp("", "sallyport-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := benchSnapshot()
	for i := range startConnections - 1 {
		connection := benchConnection()
		name := scaleIdP(i)
		connection.Name, connection.UID, connection.CatchAll = name, name, false
		connection.EntityID, connection.ACSURL = "https://sso.example.com/saml/"+name, "https://sso.example.com/saml/"+name+"/acs"
		s.Connections = append(s.Connections, connection)
		s.Domains = append(s.Domains, snapshot.Domain{Domain: name + ".example.com", Connection: name, Binding: name})
	}
	encoded, err := snapshot.Encode(s)
	if err != nil {
		return nil, err
	}
	for name, content := range encoded.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	first, memory, err := startOnce(dir)
	if err != nil {
		return nil, err
	}
	var again []time.Duration
	for range starts {
		took, used, err := startOnce(dir)
		if err != nil {
			return nil, err
		}
		again, memory = append(again, took), max(memory, used)
	}
	results := quantiles(fmt.Sprintf("service provider with %d connections, start to ready", startConnections), again)
	for i := range results {
		results[i].Value, results[i].Unit = results[i].Value*1000, "ms"
	}
	return append(results, Result{Name: "the same with a new store", Value: first.Seconds() * 1000, Unit: "ms"},
		Result{Name: fmt.Sprintf("service provider with %d connections, idle: most memory of %d runs", startConnections, starts+1), Value: memory / 1e6, Unit: "MB"}), nil
}

// startOnce returns how long the process took to be ready and what it holds then, in bytes.
func startOnce(dir string) (took time.Duration, memory float64, err error) {
	public, err := freeAddress()
	if err != nil {
		return 0, 0, err
	}
	management, err := freeAddress()
	if err != nil {
		return 0, 0, err
	}
	command := exec.Command(filepath.Join("bin", "serviceprovider"), "--snapshot-dir", dir, "--store", "sqlite://"+filepath.Join(dir, "store.db"),
		"--listen", public, "--management-listen", management, "--log-level", "warn")
	command.Stderr = os.Stderr
	begin := time.Now()
	if err := command.Start(); err != nil {
		return 0, 0, fmt.Errorf("%w: make build makes it", err)
	}
	p := &peerProcess{command: command}
	defer p.stop()
	for err = answersReady(management); err != nil; err = answersReady(management) {
		if time.Since(begin) > 30*time.Second {
			return 0, 0, err
		}
		time.Sleep(time.Millisecond)
	}
	took = time.Since(begin)
	time.Sleep(settling)
	return took, p.memory(), nil
}
