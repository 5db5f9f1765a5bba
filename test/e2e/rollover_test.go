//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestKeysRollOverWhilePeopleSignIn replaces the IdP's signing certificate and then our own keys, with encrypted assertions, while somebody signs in
// with a browser every second, and somebody who is signed in is checked. Nobody may fail.
func TestKeysRollOverWhilePeopleSignIn(t *testing.T) {
	w := newWorld(t, "roll", "127.0.0.1:8446", false)
	tab := w.signIn(w.AppURL+"/", "alice@acme.example", "alice")
	tab.WaitText("Hello Alice Adams")

	w.under(t, w.cookies(tab), w.byChromium(), func(people *signingIn) {
		w.idpReplacesItsCertificate(people)
		w.noteSecrets()
		w.ourKeysRotate(people)
	})
	w.keepsQuiet(0)
}

func (w *world) idpReplacesItsCertificate(people *signingIn) {
	w.t.Helper()
	before := w.idpCertificates()
	w.idp.NextKey = true
	w.rewriteIdP("saml20-idp-hosted.php")
	w.refreshed("published")
	if now := w.idpCertificates(); len(before) != 1 || len(now) != 2 {
		w.t.Fatalf("the IdP has published a second certificate, and trusted are %v and then %v", before, now)
	}
	people.pass(w.t, 3)
	// It signs with the new key now, and the old certificate is the other one that it publishes.
	for _, suffix := range []string{".key", ".crt"} {
		w.IdPFiles["idp"+suffix], w.IdPFiles["next"+suffix] = w.IdPFiles["next"+suffix], w.IdPFiles["idp"+suffix]
	}
	w.rewriteIdP("idp.crt")
	people.pass(w.t, 3)
	w.idp.NextKey = false
	w.rewriteIdP("saml20-idp-hosted.php")
	w.refreshed("removed")
	if now := w.idpCertificates(); len(now) != 1 || now[0] == before[0] {
		w.t.Fatalf("the IdP has removed the old certificate, and trusted is %v, before %v", now, before)
	}
	people.pass(w.t, 3)
	w.toldOf("CertificateAdded", "CertificateRemoved")
}

func (w *world) ourKeysRotate(people *signingIn) {
	w.t.Helper()
	w.must("annotate", "idp/acme", "--overwrite", "sso.sallyport.dev/rotate-keys=now")
	w.phases("Current", "Next")
	// The IdP reads our metadata: it knows the next key, and goes on encrypting to the current one.
	w.rereadOurs()
	people.pass(w.t, 3)
	w.noteSecrets()
	w.longAgo("Next")
	w.phases("Current", "Previous")
	// The IdP has not looked again: it encrypts to the key that is the previous one now.
	people.pass(w.t, 3)
	w.rereadOurs()
	people.pass(w.t, 3)
	w.longAgo("Previous")
	w.phases("Current")
	people.pass(w.t, 3)
	w.toldOf("KeyPublished", "KeyRotated", "KeyRetired")
}

// rewriteIdP gives the running IdP its new files, and waits until it has the named one.
func (w *world) rewriteIdP(file string) {
	w.t.Helper()
	w.idpFiles()
	secret, _, _ := strings.Cut(w.fill("idp.yaml"), "\n---\n")
	w.applyFile("the IdP's files", secret)
	path := "/idp/" + w.IdPPaths[file]
	w.eventually("the IdP to have "+file, 2*time.Minute, func() error {
		now := w.kubectl("exec", "deployment/simplesamlphp", "-c", "php", "--", "/usr/bin/php8.2", "-r", fmt.Sprintf("readfile(%q);", path))
		if strings.TrimSpace(now) != strings.TrimSpace(w.IdPFiles[file]) {
			return fmt.Errorf("%s has %d bytes, want %d", path, len(now), len(w.IdPFiles[file]))
		}
		return nil
	})
}

// rereadOurs is the IdP looking at our metadata again.
func (w *world) rereadOurs() {
	w.t.Helper()
	w.idp.SPs[0] = w.ourMetadata()
	w.rewriteIdP("saml20-sp-remote.php")
}

// refreshed asks for the IdP's metadata now, and waits until every pod serves what came.
func (w *world) refreshed(value string) {
	w.t.Helper()
	fetched := w.must("get", "idp", "acme", "-o", "jsonpath={.status.metadata.lastFetched}")
	w.must("annotate", "idp/acme", "--overwrite", "sso.sallyport.dev/refresh="+value)
	w.eventually("a refresh", 2*time.Minute, func() error {
		if w.must("get", "idp", "acme", "-o", "jsonpath={.status.metadata.lastFetched}") == fetched {
			return fmt.Errorf("the last one was at %s", fetched)
		}
		return nil
	})
	w.must("wait", "idp/acme", "--for=condition=Ready", "--timeout=180s")
}

func (w *world) idpCertificates() []string {
	w.t.Helper()
	return strings.Fields(w.must("get", "idp", "acme", "-o", "jsonpath={.status.certificates[*].sha256}"))
}

// phases waits until status shows our keys in these phases, and every pod serves them.
func (w *world) phases(want ...string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("our keys to be %v", want), 2*time.Minute, func() error {
		if now := strings.Fields(w.must("get", "idp", "acme", "-o", "jsonpath={.status.serviceProvider.certificates[*].phase}")); strings.Join(now, " ") != strings.Join(want, " ") {
			return fmt.Errorf("they are %v", now)
		}
		return nil
	})
	w.must("wait", "idp/acme", "--for=condition=Ready", "--timeout=180s")
}

// longAgo lets the overlap of a phase be over: the time from which it is counted is kept in the Secret of the keys.
func (w *world) longAgo(phase string) {
	w.t.Helper()
	var state struct {
		Rotation string                          `json:"rotation,omitempty"`
		Phases   map[string]map[string]time.Time `json:"phases"`
	}
	w.eventually(phase+" to be known as served", 2*time.Minute, func() error {
		content, err := base64.StdEncoding.DecodeString(w.must("get", "secret", "sallyport-keys-acme", "-o", `jsonpath={.data.state\.json}`))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(content, &state); err != nil {
			return err
		}
		if state.Phases[phase]["served"].IsZero() {
			return fmt.Errorf("the phases are %v", state.Phases)
		}
		return nil
	})
	state.Phases[phase]["served"] = time.Now().AddDate(0, 0, -31)
	changed, err := json.Marshal(state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.must("patch", "secret", "sallyport-keys-acme", "--type=merge", "-p", fmt.Sprintf(`{"data":{"state.json":%q}}`, base64.StdEncoding.EncodeToString(changed)))
}

// toldOf holds that each of these happened once, as an Event and in the operator's audit log.
func (w *world) toldOf(reasons ...string) {
	w.t.Helper()
	records := map[string]string{"CertificateAdded": "saml_idp_certificate_added", "CertificateRemoved": "saml_idp_certificate_removed",
		"KeyPublished": "saml_idp_sp_certificate_published", "KeyRotated": "saml_idp_sp_certificate_rotated", "KeyRetired": "saml_idp_sp_certificate_retired"}
	log := w.must("-n", "sallyport-system", "logs", "-l", "app.kubernetes.io/component=operator", "--tail=-1")
	for _, reason := range reasons {
		if events := strings.Fields(w.must("get", "events.events.k8s.io", "-o", fmt.Sprintf(`jsonpath={.items[?(@.reason==%q)].metadata.name}`, reason))); len(events) != 1 {
			w.t.Errorf("there are %d Events %s", len(events), reason)
		}
		n := 0
		for line := range strings.Lines(log) {
			if strings.Contains(line, `"type":"`+records[reason]+`"`) && strings.Contains(line, `"namespace":"`+w.Namespace+`"`) {
				n++
			}
		}
		if n != 1 {
			w.t.Errorf("%s was recorded %d times", records[reason], n)
		}
	}
}
