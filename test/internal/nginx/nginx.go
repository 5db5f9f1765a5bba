// Package nginx runs a real nginx with the configuration that docs/proxies/nginx.md prints.
package nginx

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport.dev/sallyport/hack/demo/edge"
	"sallyport.dev/sallyport/test/internal/daemon"
	"sallyport.dev/sallyport/test/internal/loopback"
)

// Program is where Debian's package puts nginx.
const Program = "/usr/sbin/nginx"

// Nginx is a running nginx.
type Nginx struct {
	// Address is where TLS listens.
	Address string
	dir     string
}

// Start runs nginx until the test ends. site's Dir, TLSDir and Listen are filled in here. extra is told both and writes what else goes into the http section.
// pageFile is docs/proxies/nginx.md; edit, when given, may change the printed files further.
func Start(t testing.TB, pageFile string, site edge.Site, pair edge.Pair, extra func(dir, listen string) string, edit func(files map[string]string)) *Nginx {
	t.Helper()
	page, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	n := &Nginx{Address: loopback.Free(t), dir: t.TempDir() + "/"}
	site.Dir, site.TLSDir, site.Listen = n.dir, n.dir, n.Address
	files, err := edge.Files(page, site)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(files)
	}
	more := ""
	if extra != nil {
		more = extra(n.dir, n.Address)
	}
	files["nginx.conf"] = edge.Main(n.dir, n.dir, more)
	files["tls.crt"], files["tls.key"] = string(pair.Certificate), string(pair.Key)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.run(t)
	return n
}

func (n *Nginx) run(t testing.TB) {
	t.Helper()
	command := exec.Command(Program, "-p", n.dir, "-c", n.dir+"nginx.conf", "-e", "stderr", "-g", "user root;")
	if os.Geteuid() != 0 {
		command.Args = command.Args[:len(command.Args)-2]
	}
	daemon.Run(t, command, "apt-get install nginx-light").AwaitListening(n.Address)
}
