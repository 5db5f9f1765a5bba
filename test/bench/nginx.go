package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// throughNginx asks nginx, which asks with auth_request before it passes the request on: once a bare handler that decides nothing, once the service provider.
// The application is the bare handler in both cases.
func throughNginx(bare, ours *peerProcess, o options) ([]Result, error) {
	dir, err := os.MkdirTemp("", "sallyport-bench-nginx")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	configuration := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr error; worker_processes 1; events { worker_connections 256; }
http {
    access_log off; keepalive_requests 1000000;
    client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
    upstream bare { server %[2]s; keepalive 64; }
    upstream ours { server %[3]s; keepalive 64; }
    proxy_http_version 1.1; proxy_set_header Connection "";
    server {
        listen %[4]s;
        location = /check-bare { internal; proxy_pass http://bare/authz/nginx; }
        location = /check-ours { internal; proxy_pass http://ours/authz/nginx; }
        location /bare { auth_request /check-bare; proxy_pass http://bare/; }
        location /ours { auth_request /check-ours; proxy_pass http://bare/; }
    }
}
`, dir, bare.address, ours.address, address)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		return nil, err
	}
	command := exec.Command("/usr/sbin/nginx", "-p", dir, "-c", file, "-e", "stderr")
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("nginx: %w (make test-deps installs it)", err)
	}
	defer func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("nginx does not listen: %w", err)
		}
	}
	process := &peerProcess{command, address, ""}
	request := func(path string) func() []byte {
		r := []byte("GET " + path + " HTTP/1.1\r\nHost: sso.example.com\r\nCookie: " + ours.cookie + "\r\n\r\n")
		return func() []byte { return r }
	}
	contestants := []*contestant{
		{name: "nginx asking a bare handler", process: process, next: request("/bare")},
		{name: "nginx asking the service provider", process: process, next: request("/ours"), against: "nginx asking a bare handler"},
	}
	for range rounds {
		for _, c := range contestants {
			if err := c.round(o.duration); err != nil {
				return nil, err
			}
		}
	}
	var results []Result
	for i, r := range compare(contestants) {
		// nginx's processor time is its workers', which are not looked at.
		if i%4 != 3 {
			results = append(results, r)
		}
	}
	return results, nil
}
