package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// nginxConfiguration takes the folder, the addresses of the bare handler and of the service provider, the address to listen on, and the headers of an identity
// as nginx writes them itself and as it takes them from the service provider.
const nginxConfiguration = `daemon off; pid %[1]s/pid; error_log stderr error; worker_processes 1; events { worker_connections 256; }
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
        location = /page { %[5]s; root %[1]s; }
        location = /page-ours {
            auth_request /check-ours;
            auth_request_set $user $upstream_http_remote_user; auth_request_set $groups $upstream_http_remote_groups;
            add_header Remote-User $user; add_header Remote-Groups $groups; alias %[1]s/page;
        }
    }
}
`

// nginxProcess is nginx in front of a bare handler and of the service provider, with a configuration of its own.
type nginxProcess struct {
	peerProcess
	dir string
}

func startNginx(bare, ours *peerProcess) (*nginxProcess, error) {
	dir, err := sharedFolder("sallyport-bench-nginx")
	if err != nil {
		return nil, err
	}
	p := &nginxProcess{dir: dir}
	if p.address, err = freeAddress(); err != nil {
		return nil, err
	}
	identity := fmt.Sprintf("add_header Remote-User %q; add_header Remote-Groups %q", identityHeaders["Remote-User"], identityHeaders["Remote-Groups"])
	configuration := fmt.Sprintf(nginxConfiguration, dir, bare.address, ours.address, p.address, identity)
	if err := writeFiles(dir, map[string]string{"nginx.conf": configuration, "page": page}); err != nil {
		return nil, err
	}
	p.command = exec.Command("/usr/sbin/nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	p.command.Stderr = os.Stderr
	if err := p.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("nginx: %w (make test-deps installs it)", err), os.RemoveAll(dir))
	}
	if err := awaitListener("tcp", p.address); err != nil {
		p.stop()
		return nil, fmt.Errorf("nginx: %w", err)
	}
	return p, nil
}

func (p *nginxProcess) stop() {
	p.terminate()
	_ = os.RemoveAll(p.dir)
}

// throughNginx asks nginx, which asks with auth_request before it passes the request on: once a bare handler that decides nothing, once the service provider.
// The application is the bare handler in both cases.
func throughNginx(bare, ours *peerProcess, o options) ([]Result, error) {
	nginx, err := startNginx(bare, ours)
	if err != nil {
		return nil, err
	}
	defer nginx.stop()
	return measure([]*contestant{
		{name: "nginx asking a bare handler", process: &nginx.peerProcess, others: []*peerProcess{bare}, next: get("/bare", "sso.example.com", "")},
		{name: "nginx asking the service provider", process: &nginx.peerProcess, others: []*peerProcess{bare, ours}, next: get("/ours", "sso.example.com", ours.cookie),
			against: "nginx asking a bare handler"},
	}, o)
}
