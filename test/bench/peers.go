package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlsp"
)

// identityHeaders are what every contestant answers with, so that all write the same number of bytes.
var identityHeaders = map[string]string{
	"Remote-User": "alice@acme.example", "Remote-Email": "alice@acme.example", "Remote-Name": "Alice Example", "Remote-Groups": "dev,ml-team",
	"X-Auth-Request-User": "alice@acme.example", "X-Auth-Request-Email": "alice@acme.example", "X-Auth-Request-Groups": "dev,ml-team",
	"X-Auth-Request-Preferred-Username": "alice@acme.example",
}

var writeIdentity = bareHandler(identityHeaders)

// bareHandler writes the same headers to everybody.
func bareHandler(headers map[string]string) http.HandlerFunc {
	prepared := map[string][]string{}
	for name, value := range headers {
		prepared[name] = []string{value}
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, values := range prepared {
			h[name] = values
		}
		w.WriteHeader(http.StatusOK)
	}
}

// manyGroups are the headers of somebody with 200 groups.
func manyGroups() map[string]string {
	headers := maps.Clone(identityHeaders)
	groups := make([]string, 200)
	for i := range groups {
		groups[i] = fmt.Sprintf("group-%03d", i)
	}
	headers["Remote-Groups"] = strings.Join(groups, ",")
	headers["X-Auth-Request-Groups"] = headers["Remote-Groups"]
	return headers
}

// servePeer serves one peer on a port of its own until it is ended, and prints its address and then, where it needs one, its cookie.
func servePeer(name string) error {
	handler, cookie, err := peerHandler(name)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("%s %s\n", listener.Addr(), cookie)
	return http.Serve(listener, handler)
}

func peerHandler(name string) (handler http.Handler, cookie string, err error) {
	switch name {
	case "bare":
		return bareHandler(identityHeaders), "", nil
	case "bare-200":
		return bareHandler(manyGroups()), "", nil
	case "samlsp":
		return samlspHandler()
	default:
		return nil, "", fmt.Errorf("no peer %q", name)
	}
}

// samlspHandler is the session check of crewjam's middleware: a cookie that is a JWT signed with RS256.
func samlspHandler() (http.Handler, string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "peer"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, "", err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, "", err
	}
	root := url.URL{Scheme: "http", Host: "127.0.0.1"}
	provider := samlsp.DefaultSessionProvider(samlsp.Options{URL: root, Key: key, Certificate: certificate})
	session, err := provider.Codec.New(&saml.Assertion{
		Subject:             &saml.Subject{NameID: &saml.NameID{Value: "alice@acme.example"}},
		AttributeStatements: []saml.AttributeStatement{{Attributes: []saml.Attribute{{Name: "groups", Values: []saml.AttributeValue{{Value: "dev"}, {Value: "ml-team"}}}}}},
	})
	if err != nil {
		return nil, "", err
	}
	value, err := provider.Codec.Encode(session)
	if err != nil {
		return nil, "", err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := provider.GetSession(r); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeIdentity(w, r)
	})
	return handler, provider.Name + "=" + value, nil
}

// peerProcess runs one peer as a process of its own, as ours is.
type peerProcess struct {
	command *exec.Cmd
	address string
	cookie  string
}

func startPeer(name string) (*peerProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, "-peer", name)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	line := make([]byte, 16<<10)
	n, err := out.Read(line)
	if err != nil {
		return nil, errors.Join(err, command.Process.Kill())
	}
	address, cookie, _ := strings.Cut(strings.TrimSpace(string(line[:n])), " ")
	return &peerProcess{command, address, cookie}, nil
}

func (p *peerProcess) stop() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}
