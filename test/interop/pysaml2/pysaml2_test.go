// Package pysaml2 holds that responses, requests and logout messages pass between us and pysaml2 with xmlsec1, which share no line of
// code with us or with any Go library. Debian has both: python3-pysaml2 and xmlsec1.
package pysaml2

import (
	"bufio"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
)

const base = "https://pysaml2.example.com"

// idp is the Python process and the connection to it.
type idp struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Scanner
	conf snapshot.Connection
	conn *saml.Connection
}

// start makes keys, writes our metadata for pysaml2 and runs it. edit changes our connection first.
func start(t *testing.T, edit func(*snapshot.Connection)) *idp {
	t.Helper()
	now := time.Now()
	peer, err := samltest.NewIdP(base+"/idp", base+"/sso", base+"/slo", now)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := peer.Connection("https://sso.example.com", "pysaml2", now)
	if err != nil {
		t.Fatal(err)
	}
	conf.Trust.SSO[1].URL, conf.Trust.SLO[1].URL = base+"/sso/post", base+"/slo/post"
	if edit != nil {
		edit(&conf)
	}
	conn, err := saml.NewConnection(conf, saml.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	metadata, err := conn.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sp.xml"), metadata)
	write(t, filepath.Join(dir, "idp.key"), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(peer.Key.(*rsa.PrivateKey))}))
	write(t, filepath.Join(dir, "idp.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: peer.Certificate}))
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "idp.py", dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: apt-get install python3-pysaml2 xmlsec1", err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 4<<20)
	return &idp{t: t, in: in, out: scanner, conf: conf, conn: conn}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// call runs one command and reads its answer into answer.
func (p *idp) call(command string, args map[string]any, answer any) {
	p.t.Helper()
	args["command"] = command
	line, err := json.Marshal(args)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("pysaml2 ended: %v; apt-get install python3-pysaml2 xmlsec1", p.out.Err())
	}
	var failure struct{ Error, Trace string }
	if err := json.Unmarshal(p.out.Bytes(), &failure); err != nil {
		p.t.Fatalf("%v: %s", err, p.out.Text())
	}
	if failure.Error != "" {
		p.t.Fatalf("pysaml2: %s\n%s", failure.Error, failure.Trace)
	}
	if err := json.Unmarshal(p.out.Bytes(), answer); err != nil {
		p.t.Fatal(err)
	}
}

// respond lets pysaml2 answer a new request of ours, and gives the answer to our pipeline.
func (p *idp) respond(options map[string]any) (*saml.Assertion, *saml.Refusal) {
	p.t.Helper()
	req, err := p.conn.NewAuthnRequest(time.Now(), "handle", saml.RequestOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	args := map[string]any{
		"attributes": map[string][]string{"email": {"alice@example.com"}, "groups": {"dev", "ml-team"}}, "name_id": "alice@example.com",
		"in_response_to": req.ID, "destination": p.conf.ACSURL, "sp": p.conf.EntityID, "sign_response": false, "sign_assertion": true,
	}
	for k, v := range options {
		args[k] = v
	}
	var answer struct{ XML string }
	p.call("respond", args, &answer)
	pending := req.Pending()
	return p.conn.Accept(p.t.Context(), base64.StdEncoding.EncodeToString([]byte(answer.XML)), &pending, time.Now())
}

const (
	gcm256   = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	gcm128   = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	cbc256   = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	rsa15    = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
	oaepMGF1 = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
)

// encrypted are the options for an encrypted assertion.
func encrypted(block, sessionKey string, signResponse, signAssertion, selfContained bool) map[string]any {
	return map[string]any{
		"encrypt": true, "block": block, "transport": oaepMGF1, "session_key": sessionKey,
		"sign_response": signResponse, "sign_assertion": signAssertion, "self_contained": selfContained,
	}
}

func TestResponses(t *testing.T) {
	p := start(t, nil)
	for _, tc := range []struct {
		name    string
		options map[string]any
		want    saml.Reason
	}{
		{"assertion signed", map[string]any{}, ""},
		{"response signed", map[string]any{"sign_response": true, "sign_assertion": false}, ""},
		{"both signed", map[string]any{"sign_response": true}, ""},
		{"nothing signed", map[string]any{"sign_assertion": false}, saml.ReasonSignatureInvalid},
		{"AES-256-GCM, assertion signed", encrypted(gcm256, "aes-256", false, true, true), ""},
		{"AES-128-GCM, both signed", encrypted(gcm128, "aes-128", true, true, true), ""},
		{"AES-256-GCM, response signed", encrypted(gcm256, "aes-256", true, false, true), ""},
		{"AES-256-GCM, nothing signed", encrypted(gcm256, "aes-256", false, false, true), saml.ReasonSignatureInvalid},
		{"AES-256-GCM, namespaces declared outside", encrypted(gcm256, "aes-256", false, true, false), ""},
		{"AES-256-GCM, namespaces declared outside, both signed", encrypted(gcm256, "aes-256", true, true, false), ""},
		{"AES-256-CBC, both signed", encrypted(cbc256, "aes-256", true, true, true), ""},
		{"AES-256-CBC, response signed", encrypted(cbc256, "aes-256", true, false, true), ""},
		{"AES-256-CBC, assertion signed", encrypted(cbc256, "aes-256", false, true, true), saml.ReasonAlgorithmRefused},
		{"3DES, pysaml2's default", map[string]any{"encrypt": true, "sign_response": true}, saml.ReasonAlgorithmRefused},
		{"rsa-1_5", map[string]any{"encrypt": true, "sign_response": true, "block": gcm256, "session_key": "aes-256", "transport": rsa15}, saml.ReasonAlgorithmRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, r := p.respond(tc.options)
			if tc.want != "" {
				if r == nil || r.Reason != tc.want {
					t.Fatalf("%v; want %s", r, tc.want)
				}
				return
			}
			if r != nil {
				t.Fatalf("%v: %s\n%s", r, r.Sentence, r.XML)
			}
			v := a.Values()
			if a.NameID.Value != "alice@example.com" || a.Issuer != base+"/idp" || strings.Join(v["urn:mace:dir:attribute-def:email"], ",") != "alice@example.com" || strings.Join(v["groups"], ",") != "dev,ml-team" ||
				a.Encrypted != (tc.options["encrypt"] == true) || a.SessionIndex == "" {
				t.Errorf("read %+v", a)
			}
		})
	}
}

// query splits a redirect's parameters for pysaml2.
func (p *idp) query(redirect string) map[string]any {
	p.t.Helper()
	u, err := url.Parse(redirect)
	if err != nil {
		p.t.Fatal(err)
	}
	q := u.Query()
	return map[string]any{"binding": "redirect", "sp": p.conf.EntityID, "message": q.Get("SAMLRequest"), "relay_state": q.Get("RelayState"), "sigalg": q.Get("SigAlg"), "signature": q.Get("Signature")}
}

func TestAuthnRequests(t *testing.T) {
	for _, binding := range []string{snapshot.BindingRedirect, snapshot.BindingPOST} {
		t.Run(binding, func(t *testing.T) {
			p := start(t, func(c *snapshot.Connection) { c.Request.Binding, c.Request.ForceAuthn = binding, true })
			req, err := p.conn.NewAuthnRequest(time.Now(), "handle&x=y", saml.RequestOptions{})
			if err != nil {
				t.Fatal(err)
			}
			args := map[string]any{"binding": "post", "message": req.SAMLRequest}
			if binding == snapshot.BindingRedirect {
				args = p.query(req.RedirectURL)
			}
			var got struct {
				ID, Issuer, ACS string
				NameIDPolicy    bool   `json:"name_id_policy"`
				ForceAuthn      string `json:"force_authn"`
			}
			p.call("read_authn_request", args, &got)
			if got.ID != req.ID || got.Issuer != p.conf.EntityID || got.ACS != p.conf.ACSURL || got.NameIDPolicy || got.ForceAuthn != "true" {
				t.Errorf("pysaml2 reads %+v", got)
			}
		})
	}
}

func TestLogoutRequestsFromPysaml2(t *testing.T) {
	p := start(t, nil)
	for _, binding := range []string{"redirect", "post"} {
		var answer struct{ URL, Value, ID string }
		p.call("logout_request", map[string]any{
			"binding": binding, "destination": p.conf.SLOURL, "sp": p.conf.EntityID, "name_id": "alice@example.com", "format": identity.FormatEmailAddress,
			"indexes": []string{"s-1", "s-2"}, "relay_state": "a&b=c",
		}, &answer)
		in := saml.Incoming{Binding: snapshot.BindingPOST, Value: answer.Value}
		if binding == "redirect" {
			_, raw, _ := strings.Cut(answer.URL, "?")
			in = saml.Incoming{Binding: snapshot.BindingRedirect, RawQuery: raw}
		}
		req, r := p.conn.AcceptLogoutRequest(in, time.Now())
		if r != nil {
			t.Errorf("%s: %v: %s", binding, r, r.Sentence)
			continue
		}
		if req.ID != answer.ID || req.NameID.Value != "alice@example.com" || strings.Join(req.SessionIndexes, ",") != "s-1,s-2" || binding == "redirect" && req.RelayState != "a&b=c" {
			t.Errorf("%s: read %+v", binding, req)
		}
	}
}

func TestLogoutRequestsToPysaml2(t *testing.T) {
	for i, binding := range []string{"redirect", "post"} {
		p := start(t, func(c *snapshot.Connection) { c.Trust.SLO = c.Trust.SLO[i : i+1] })
		m, err := p.conn.NewLogoutRequest(time.Now(), saml.NameID{Value: "alice@example.com", Format: identity.FormatEmailAddress}, []string{"s-1", "s-2"}, "rs&1")
		if err != nil {
			t.Fatal(err)
		}
		args := map[string]any{"binding": "post", "message": m.Value}
		if binding == "redirect" {
			args = p.query(m.RedirectURL)
		}
		var got struct {
			ID      string
			NameID  string `json:"name_id"`
			Indexes []string
		}
		p.call("read_logout_request", args, &got)
		if got.ID != m.ID || got.NameID != "alice@example.com" || strings.Join(got.Indexes, ",") != "s-1,s-2" {
			t.Errorf("%s: pysaml2 reads %+v", binding, got)
		}
	}
}
