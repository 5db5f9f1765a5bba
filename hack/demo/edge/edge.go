// Package edge makes the nginx configuration that docs/proxies/nginx.md prints concrete: the demonstration and the tests run what readers copy.
package edge

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Folder is where the page's files live on a reader's machine.
const Folder = "/etc/nginx/sallyport/"

// Site is what a reader changes in the page's files.
type Site struct {
	// Dir is where the files will lie, ending in a slash; TLSDir the same for tls.crt and tls.key.
	Dir, TLSDir string
	// Listen is the address and port of TLS.
	Listen string
	// SSOHost and AppHost are host names without a port.
	SSOHost, AppHost string
	// ServiceProvider and Application are HOST:PORT in plain HTTP.
	ServiceProvider, Application string
}

var block = regexp.MustCompile("(?s)```nginx\n# " + regexp.QuoteMeta(Folder) + "([a-z-]+\\.conf)\n(.*?)```")

// Files returns the page's files by name, made concrete. It fails when the page no longer says what is to be changed: then the page was edited, and
// the change belongs here too.
func Files(page []byte, site Site) (map[string]string, error) {
	files := map[string]string{}
	for _, match := range block.FindAllStringSubmatch(string(page), -1) {
		files[match[1]] = match[2]
	}
	edits := map[string]map[string]string{
		"upstreams.conf": {
			"main-sallyport.sso.svc.cluster.local:80":   site.ServiceProvider,
			"grafana.monitoring.svc.cluster.local:3000": site.Application,
		},
		"sites.conf": {
			"listen 443 ssl":      "listen " + site.Listen + " ssl",
			"sso.example.com":     site.SSOHost,
			"grafana.example.com": site.AppHost,
			"/etc/nginx/tls/":     site.TLSDir,
			Folder:                site.Dir,
		},
		"sallyport-check.conf":   {},
		"sallyport-headers.conf": {},
	}
	for name, replacements := range edits {
		content, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("the page prints no %s%s", Folder, name)
		}
		for _, from := range slices.Sorted(maps.Keys(replacements)) {
			if !strings.Contains(content, from) {
				return nil, fmt.Errorf("%s no longer contains %q", name, from)
			}
			content = strings.ReplaceAll(content, from, replacements[from])
		}
		files[name] = content
	}
	return files, nil
}

// Main is a complete nginx.conf around the page's sites.conf in dir. extra goes into its http section; workDir has to be writable.
func Main(dir, workDir, extra string) string {
	return fmt.Sprintf(`daemon off;
worker_processes 2;
pid %[2]snginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    server_tokens off;
    server_names_hash_bucket_size 128;
    client_body_temp_path %[2]sbody;
    proxy_temp_path %[2]sproxy;
    fastcgi_temp_path %[2]sfastcgi;
    uwsgi_temp_path %[2]suwsgi;
    scgi_temp_path %[2]sscgi;
    include %[1]ssites.conf;
%[3]s
}
`, dir, workDir, extra)
}
