package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// terminate asks the process to end and waits for it: servers that have workers end them on SIGTERM.
func (p *peerProcess) terminate() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	_ = p.command.Wait()
}

// awaitListener waits until something listens at an address: HOST:PORT for tcp, a file for unix.
func awaitListener(network, address string) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial(network, address)
		if err == nil {
			return connection.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nothing listens: %w", err)
		}
	}
}

// sharedFolder is a temporary folder that the workers of a server can read, who are not who starts it.
func sharedFolder(name string) (string, error) {
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// writeFiles writes files that everybody can read: what is secret among them is made for one run.
func writeFiles(dir string, files map[string]string) error {
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
