package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func testDirs(t *testing.T) dirs {
	home := t.TempDir()
	return dirs{root: home, home: home, state: filepath.Join(home, "state"), run: filepath.Join(home, "run"), cache: filepath.Join(home, "cache")}
}

func TestCertificatesAreSignedByTheirAuthority(t *testing.T) {
	d, n := testDirs(t), networkOf(true)
	if err := writePKI(d, n); err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves(n) {
		pair, err := tls.LoadX509KeyPair(d.in("pki", l.name+".crt"), d.in("pki", l.name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, ca := range []string{"ca", "etcd-ca"} {
			pem, err := os.ReadFile(d.in("pki", ca+".crt"))
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(pem)
			_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			if (err == nil) != (ca == l.ca) {
				t.Errorf("%s verified by %s: %v", l.name, ca, err)
			}
		}
		for _, host := range l.hosts {
			if err := pair.Leaf.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
	}
	// A second start must keep the keys: what runs was given them.
	before, _ := os.ReadFile(d.in("pki", "ca.key"))
	if err := writePKI(d, n); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(d.in("pki", "ca.key")); !bytes.Equal(before, after) {
		t.Error("the second call made another authority")
	}
	if info, err := os.Stat(d.in("pki", "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ca.key is readable for others: %v %v", info.Mode(), err)
	}
}

func TestConfigsRender(t *testing.T) {
	values := settings(testDirs(t))
	values["Name"], values["Path"] = "local-0", "/volumes/0"
	entries, err := configFS.ReadDir("config")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		out, err := renderConfig(entry.Name(), values)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(out, []byte("{{")) || bytes.Contains(out, []byte("<no value>")) {
			t.Errorf("%s is not filled in", entry.Name())
		}
	}
}

// A file that did not change must not be written: kube-proxy ends when its configuration is.
func TestWriteIfChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "file")
	old := time.Unix(1000, 0)
	for _, step := range []struct {
		data    string
		touched bool
	}{{"a", true}, {"a", false}, {"b", true}} {
		if err := writeIfChanged(path, []byte(step.data), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if touched := !info.ModTime().Equal(old); touched != step.touched {
			t.Errorf("writing %q: touched is %v", step.data, touched)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// A pid file is believed only while its process runs the program that it names.
func TestPIDFiles(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if sleep, err = filepath.EvalSymlinks(sleep); err != nil {
		t.Fatal(err)
	}
	d := testDirs(t)
	c := component{name: "sleep", exe: sleep, args: []string{"600"}, ready: func(context.Context) error { return nil }}
	if err := c.start(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	pid := c.pid(d)
	if pid == 0 {
		t.Fatal("the component does not run")
	}
	if err := c.start(t.Context(), d); err != nil || c.pid(d) != pid {
		t.Errorf("a second start made another process: %v", err)
	}
	foreign := filepath.Join(d.run, "foreign")
	if err := os.WriteFile(foreign, []byte(strconv.Itoa(os.Getpid())+" "+sleep), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := runningPID(foreign); got != 0 {
		t.Errorf("took process %d for ours, which runs another program", got)
	}
	if err := stop(foreign, 0); err != nil {
		t.Error(err) // and this test lives on
	}
	if err := stop(c.pidFile(d), time.Second); err != nil {
		t.Error(err)
	}
	if c.pid(d) != 0 {
		t.Error("the component survives its stop")
	}
}

func TestStartTellsWhyItFailed(t *testing.T) {
	d := testDirs(t)
	c := component{name: "sh", exe: "/bin/sh", args: []string{"-c", "echo no disk left >&2; exit 3"},
		ready: func(context.Context) error { return os.ErrDeadlineExceeded }}
	err := c.start(t.Context(), d)
	if err == nil || !strings.Contains(err.Error(), "no disk left") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutProxy(t *testing.T) {
	got := withoutProxy([]string{"HOME=/root", "https_proxy=http://proxy.example.com", "HTTP_PROXY=x", "NO_PROXY=y"})
	if want := []string{"HOME=/root", "NO_PROXY=y"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A change of what is built must reach the cache; anything else must not cost five minutes.
func TestDigestFollowsTheSources(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digest := func() string {
		s, err := digestOf(dir, []program{{"x", "./x"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write("go.mod", "module a")
	write("x/main.go", "package main")
	first := digest()
	write("README.md", "text")
	if digest() != first {
		t.Error("a README changes the digest")
	}
	write("x/main.go", "package main // changed")
	second := digest()
	write("go.sum", "a v1.0.0 h1:x")
	if third := digest(); first == second || second == third {
		t.Error("a source or a pin does not change the digest")
	}
}

func TestOutputNames(t *testing.T) {
	for _, p := range slices.Concat(envtest.programs, nodePrograms.programs, dnsProgram.programs, ownPrograms.programs) {
		want := p.name
		if p.name == "etcd" {
			want = "server"
		}
		if got := p.output(); got != want {
			t.Errorf("%s: got %s, want %s", p.pkg, got, want)
		}
	}
}
