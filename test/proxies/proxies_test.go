package proxies

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/sallyport/hack/demo/edge"
	"sallyport.dev/sallyport/hack/proxies"
	"sallyport.dev/sallyport/test/internal/loopback"
	"sallyport.dev/sallyport/test/internal/nginx"
	"sallyport.dev/sallyport/test/internal/page"
)

// running is a proxy that listens for TLS.
type running struct{ name, address string }

// each runs a test for every proxy, as its page prints it. edit may change the printed files.
func each(t *testing.T, edit func(files map[string]string), test func(t *testing.T, p *running)) {
	for name, start := range map[string]func(*testing.T, func(map[string]string)) string{
		"nginx": startNginx, "haproxy": startHAProxy, "caddy": startCaddy, "traefik": startTraefik,
		"envoy over HTTP": func(t *testing.T, edit func(map[string]string)) string {
			return startEnvoy(t, pageOfEnvoy(t, edit, false))
		},
		"envoy over gRPC": func(t *testing.T, edit func(map[string]string)) string {
			return startEnvoy(t, pageOfEnvoy(t, edit, true))
		},
		"Envoy Gateway over HTTP": func(t *testing.T, edit func(map[string]string)) string {
			return startEnvoy(t, translated(t, edit, "http"))
		},
		"Envoy Gateway over gRPC": func(t *testing.T, edit func(map[string]string)) string {
			return startEnvoy(t, translated(t, edit, "grpc"))
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, &running{name, start(t, edit)}) })
	}
}

func startNginx(t *testing.T, edit func(map[string]string)) string {
	w := theWorld(t)
	site := edge.Site{SSOHost: ssoHost, AppHost: appHost, ServiceProvider: w.spAddress(), Application: w.application.address}
	// The page leaves HTTP/2 to the reader.
	return nginx.Start(t, "../../docs/proxies/nginx.md", site, w.pair, nil, func(files map[string]string) {
		files["sites.conf"] = strings.ReplaceAll(files["sites.conf"], " ssl;", " ssl http2;")
		if edit != nil {
			edit(files)
		}
	}).Address
}

func startHAProxy(t *testing.T, edit func(map[string]string)) string {
	w, dir, address := theWorld(t), t.TempDir(), loopback.Free(t)
	files := page.Files(t, "../../docs/proxies/haproxy.md", "/etc/haproxy/", dir+"/", "bind :443", "bind "+address,
		"10.0.0.10:80", w.spAddress(), "10.0.0.20:3000", w.application.address)
	write(t, dir, files, edit, map[string]string{"tls.pem": string(w.pair.Certificate) + string(w.pair.Key)})
	execute(t, address, "/usr/sbin/haproxy", "-db", "-f", dir+"/haproxy.cfg")
	return address
}

func startCaddy(t *testing.T, edit func(map[string]string)) string {
	w, dir, address := theWorld(t), t.TempDir(), loopback.Free(t)
	program, err := proxies.Program("caddy")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	// Readers get certificates from a public authority, the test has its own; and it may not use the machine's ports.
	tls := fmt.Sprintf("{\n\tbind 127.0.0.1\n\ttls %s/tls.crt %s/tls.key\n", dir, dir)
	files := page.Files(t, "../../docs/proxies/caddy.md", "main-sallyport.sso.svc.cluster.local:80", w.spAddress(),
		"grafana.monitoring.svc.cluster.local:3000", w.application.address,
		ssoHost+" {\n", ssoHost+":"+port+" "+tls, appHost+" {\n", appHost+":"+port+" "+tls)
	for path, text := range files {
		files[path] = "{\n\tadmin off\n\tauto_https off\n}\n" + text
	}
	write(t, dir, files, edit, map[string]string{"tls.crt": string(w.pair.Certificate), "tls.key": string(w.pair.Key)})
	execute(t, address, program, "run", "--adapter", "caddyfile", "--config", dir+"/Caddyfile")
	return address
}

func startTraefik(t *testing.T, edit func(map[string]string)) string {
	w, dir, address := theWorld(t), t.TempDir(), loopback.Free(t)
	program, err := proxies.Program("traefik")
	if err != nil {
		t.Fatal(err)
	}
	// Readers do not mind that their routes come two seconds later.
	files := page.Files(t, "../../docs/proxies/traefik.md", "providers:\n", "providers:\n  providersThrottleDuration: 10ms\n", "/etc/traefik/", dir+"/", `":443"`, `"`+address+`"`,
		"main-sallyport.sso.svc.cluster.local:80", w.spAddress(), "grafana.monitoring.svc.cluster.local:3000", w.application.address)
	write(t, dir, files, edit, map[string]string{"tls.crt": string(w.pair.Certificate), "tls.key": string(w.pair.Key)})
	execute(t, address, program, "--configFile="+dir+"/traefik.yaml", "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false")
	// It listens before it has read its routes, and knows no host until then.
	client := &http.Client{Transport: newBrowser(t, address).Transport, Timeout: 5 * time.Second}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		response, err := client.Get(ssoURL + "/signin")
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusNotFound {
				return address
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Traefik has no routes: %v", err)
		}
	}
}

// write puts a page's files into dir under their base names.
func write(t *testing.T, dir string, files map[string]string, edit func(map[string]string), more map[string]string) {
	t.Helper()
	named := map[string]string{}
	for path, text := range files {
		named[filepath.Base(path)] = text
	}
	if edit != nil {
		edit(named)
	}
	maps.Copy(named, more)
	for name, text := range named {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// execute starts a program until the test ends and waits until it listens.
func execute(t *testing.T, address, program string, arguments ...string) {
	t.Helper()
	process := exec.Command(program, arguments...)
	home := t.TempDir()
	process.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	var output bytes.Buffer
	process.Stdout, process.Stderr = &output, &output
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- process.Wait() }()
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			_ = process.Process.Kill()
			<-exited
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", program, output.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if connection, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			connection.Close()
			return
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("%s ended: %v\n%s", program, err, output.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen on %s", program, address)
		}
	}
}
