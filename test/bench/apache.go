package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func init() {
	suites = append(suites, suite{"apache", "A page for somebody who is signed in: Apache with a SAML module beside nginx asking us", apacheSuite})
}

// page is what everybody gets who is signed in; who they are is in the headers beside it.
const page = "Signed in.\n"

const (
	apacheProgram = "/usr/sbin/apache2"
	apacheModules = "/usr/lib/apache2/modules"
)

// apacheConfiguration takes the folder, the address to listen on, the folder of Apache's own modules, and what the row adds. 32 workers are twice as many as there
// are connections. A server that root starts runs its workers as somebody else; Debian's name for that is www-data.
const apacheConfiguration = `ServerRoot %[1]s
ServerName http://%[2]s
Listen %[2]s
PidFile %[1]s/pid
DefaultRuntimeDir %[1]s
ErrorLog %[1]s/error.log
LogLevel warn
User www-data
Group www-data
LoadModule mpm_event_module %[3]s/mod_mpm_event.so
LoadModule authn_core_module %[3]s/mod_authn_core.so
LoadModule authz_core_module %[3]s/mod_authz_core.so
LoadModule authz_user_module %[3]s/mod_authz_user.so
LoadModule headers_module %[3]s/mod_headers.so
StartServers 2
ServerLimit 2
ThreadLimit 32
ThreadsPerChild 32
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
UseCanonicalName On
DocumentRoot %[1]s/www
%[4]s
`

// apachePeer is one row: Apache with a module, or without.
type apachePeer struct {
	name string
	// module is its file, and packages are the Debian packages that bring it and what it needs; both are empty for Apache alone.
	module, packages string
	// needs are further programs that have to be installed.
	needs []string
	// prepare writes the module's files into dir and gives the directives for Apache at base, an http URL without a path.
	prepare func(dir, base string) (directives string, err error)
	// beside starts what runs beside Apache with the files of prepare; nil where nothing does.
	beside func(dir string) (*peerProcess, error)
}

var apachePeers = []apachePeer{
	{name: "Apache alone", packages: "apache2-bin", prepare: apacheAlone},
	{name: "mod_auth_mellon", module: apacheModules + "/mod_auth_mellon.so", packages: "apache2-bin, libapache2-mod-auth-mellon", prepare: prepareMellon},
	{name: "Shibboleth SP", module: shibbolethModule, packages: "apache2-bin, libapache2-mod-shib, shibboleth-sp-utils", needs: []string{shibdProgram},
		prepare: prepareShibboleth, beside: startShibd},
}

// missing says what to install, or nothing.
func (p apachePeer) missing() string {
	for _, file := range append([]string{apacheProgram, p.module}, p.needs...) {
		if _, err := os.Stat(file); file != "" && errors.Is(err, os.ErrNotExist) {
			return "not installed (Debian: " + p.packages + ")"
		}
	}
	return ""
}

// apacheSuite measures a small page with the identity in its headers: from Apache to everybody, from Apache to a session of each module that was made by a SAML
// sign-in, and from nginx with and without asking the service provider.
func apacheSuite(ctx context.Context, o options) ([]Result, error) {
	ours, err := startServiceProvider(ctx, 0, 0)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	nginx, err := startNginx(&ours.peerProcess, &ours.peerProcess)
	if err != nil {
		return nil, err
	}
	defer nginx.stop()
	contestants := []*contestant{
		{name: "nginx alone", process: &nginx.peerProcess, next: get("/page", "sso.example.com", "")},
		{name: "nginx asking the service provider", process: &nginx.peerProcess, others: []*peerProcess{&ours.peerProcess},
			next: get("/page-ours", "sso.example.com", ours.cookie), against: "nginx alone"},
	}
	var absent []Result
	for _, peer := range apachePeers {
		if missing := peer.missing(); missing != "" {
			absent = append(absent, Result{Name: peer.name, Missing: missing})
			continue
		}
		apache, err := startApache(peer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", peer.name, err)
		}
		defer apache.stop()
		c := &contestant{name: peer.name, process: &apache.peerProcess, next: get("/page", apache.address, apache.cookie)}
		if apache.beside != nil {
			c.others = []*peerProcess{apache.beside}
		}
		if peer.module != "" {
			c.against = "Apache alone"
		}
		contestants = append(contestants, c)
	}
	results, err := measure(contestants, o)
	return append(results, absent...), err
}

// apacheProcess is an Apache with a configuration of its own, and what runs beside it.
type apacheProcess struct {
	peerProcess
	dir    string
	beside *peerProcess
}

// startApache starts it and, with a module, signs in.
func startApache(peer apachePeer) (_ *apacheProcess, err error) {
	p := &apacheProcess{}
	defer func() {
		if err != nil {
			log, _ := os.ReadFile(filepath.Join(p.dir, "error.log"))
			err = fmt.Errorf("%w\n%s", err, log)
			p.stop()
		}
	}()
	if p.dir, err = sharedFolder("sallyport-bench-apache"); err != nil {
		return nil, err
	}
	if p.address, err = freeAddress(); err != nil {
		return nil, err
	}
	directives, err := peer.prepare(p.dir, "http://"+p.address)
	if err != nil {
		return nil, err
	}
	configuration := fmt.Sprintf(apacheConfiguration, p.dir, p.address, apacheModules, directives)
	if err := writeFiles(p.dir, map[string]string{"apache.conf": configuration, "www/page": page}); err != nil {
		return nil, err
	}
	if peer.beside != nil {
		if p.beside, err = peer.beside(p.dir); err != nil {
			return nil, err
		}
	}
	p.command = exec.Command(apacheProgram, "-f", filepath.Join(p.dir, "apache.conf"), "-DFOREGROUND")
	p.command.Stderr = os.Stderr
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if err := awaitListener("tcp", p.address); err != nil {
		return nil, err
	}
	if peer.module != "" {
		p.cookie, err = signInAtPeer("http://" + p.address + "/page")
	}
	return p, err
}

func (p *apacheProcess) stop() {
	if p.command != nil && p.command.Process != nil {
		p.terminate()
	}
	if p.beside != nil {
		p.beside.terminate()
	}
	_ = os.RemoveAll(p.dir)
}

func apacheAlone(string, string) (string, error) {
	return fmt.Sprintf("Header set Remote-User %q\nHeader set Remote-Groups %q", identityHeaders["Remote-User"], identityHeaders["Remote-Groups"]), nil
}
