package replicas

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// TestASteadyLoadGoesOn over everything that is replaced, killed and rotated, on two PostgreSQL servers: no check fails, nobody is turned away but where
// docs/failure-modes.md says so, nothing that was acknowledged is lost, and the audit log verifies with the key of the beginning alone. The identity provider verifies our
// requests and encrypts its assertions with what it knows of our metadata, which it reads late.
func TestASteadyLoadGoesOn(t *testing.T) {
	pair, storeURL := storetest.PairFor(t)
	r := newRig(t, storeURL)
	r.drain = time.Second // so that no request meets a door that closes, as with the default
	first := r.auditKey()
	pods, proxy := []*replica{r.start(), r.start()}, &front{}
	proxy.set(pods...)
	r.register(t, pods[0])
	load := r.load(proxy, proxy)
	event := func(name string, happens func(t *testing.T) time.Duration) {
		t.Run(name, func(t *testing.T) {
			load.signedIn(t, 2)
			var again time.Duration
			f := load.during(func() {
				again = happens(t)
				load.signedIn(t, 2)
			})
			load.holds(t)
			t.Logf("%d checks, %d failed, %s without an answer at the longest; %d sign-ins acknowledged, %d turned away; good again after %s", f.checks, f.failed,
				f.longest.Round(10*time.Millisecond), f.acknowledged, f.turnedAway, again.Round(10*time.Millisecond))
		})
	}
	roll := func() {
		for i, old := range pods {
			fresh := r.start()
			pods[i] = fresh
			proxy.set(pods...)
			old.Stop()
		}
	}
	timed := func(what func()) time.Duration { began := time.Now(); what(); return time.Since(began) }
	ready := func(t *testing.T) func() {
		return func() {
			for _, p := range pods {
				await.Until(t, "the pod is ready", func() bool { return p.probe("/readyz") == http.StatusOK })
			}
		}
	}

	event("the pods are replaced one after the other", func(*testing.T) time.Duration { return timed(roll) })
	event("a pod is killed", func(t *testing.T) time.Duration {
		noLonger := load.mayFail(0) // what is under way there is answered by nobody
		pods[0].Kill()
		return timed(func() {
			load.signedIn(t, 2) // by the other one, while the proxy has both
			noLonger()
			pods[0] = r.start()
			proxy.set(pods...)
		})
	})
	event("our key rotates", func(t *testing.T) time.Duration {
		old := r.connection.Keys[0]
		next, err := samltest.SPKey(snapshot.KeyNext, r.connection.EntityID, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return timed(func() {
			published := func(keys ...snapshot.SPKey) {
				r.serve(t, pods, func(c *snapshot.Connection) { c.Keys = keys })
				load.signedIn(t, 2) // as long as the identity provider has not read it
				r.register(t, pods[0])
				load.signedIn(t, 2) // nothing of before is under way any more
			}
			published(old, next)
			old.Phase, next.Phase = snapshot.KeyPrevious, snapshot.KeyCurrent
			published(next, old)
			published(next)
		})
	})
	event("the identity provider's metadata and key change", func(t *testing.T) time.Duration {
		old := r.signer()
		next, err := samltest.NewIdP(old.EntityID, old.SSOURL, old.SLOURL, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return timed(func() {
			both := *old.Trust()
			both.SigningCertificates = append(both.SigningCertificates, next.Certificate)
			r.serve(t, pods, func(c *snapshot.Connection) { c.Trust = &both })
			r.mutex.Lock()
			r.idp = next
			r.mutex.Unlock()
			load.signedIn(t, 2) // no answer of before is under way any more
			r.serve(t, pods, func(c *snapshot.Connection) { c.Trust = next.Trust() })
		})
	})
	event("the audit key is replaced", func(t *testing.T) time.Duration { return timed(func() { r.replaceAuditKey(); roll() }) })
	event("PostgreSQL's primary dies, its standby is promoted", func(t *testing.T) time.Duration {
		load.known(t, pods)
		noLonger := load.mayFail(http.StatusServiceUnavailable)
		if err := pair.KillPrimary(); err != nil {
			t.Fatal(err)
		}
		for _, p := range pods {
			await.Until(t, "readiness tells that the store is away", func() bool { return p.probe("/readyz") == http.StatusServiceUnavailable })
		}
		if err := pair.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := timed(ready(t))
		noLonger()
		if took > failoverTime {
			t.Errorf("ready %s after the promotion, and not within %s", took, failoverTime)
		}
		return took
	})

	checks, acknowledged := load.end(t)
	for _, p := range pods {
		p.Stop()
	}
	db := r.store()
	users := r.holdsTogether(db, acknowledged)
	heads, err := db.AuditHeads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(bytes.NewReader(r.auditLog(db)), audit.VerifyOptions{Keys: []ed25519.PublicKey{first.Public().(ed25519.PublicKey)}, Heads: heads, Whole: true, Beginning: true, OpenEnd: true})
	if err != nil || !report.OK() {
		t.Errorf("the audit log does not verify: %v %+v", err, report.Findings)
	}
	f := load.figures()
	t.Logf("%d checks, 0 failed, %s without an answer at the longest; %d sign-ins acknowledged, 0 lost, %d turned away, of %d users; %d records in %d chains, 0 lost", checks,
		f.longest.Round(10*time.Millisecond), len(acknowledged), f.turnedAway, len(users), report.Records, len(report.Writers))
}

// serve publishes another connection and waits until every pod serves it.
func (r *rig) serve(t *testing.T, pods []*replica, edit func(c *snapshot.Connection)) {
	t.Helper()
	c := r.connection
	edit(&c)
	c.Generation++
	r.connection.Keys, r.connection.Trust, r.connection.Generation = c.Keys, c.Trust, c.Generation
	before := map[*replica]string{}
	revision := func(p *replica) string {
		var said struct{ Revision string }
		p.api(http.MethodGet, "/v1/revision?timeout=0s", "", &said)
		return said.Revision
	}
	for _, p := range pods {
		before[p] = revision(p)
	}
	r.publish([]snapshot.Connection{c}, snapshot.Domain{Domain: "acme.example", Connection: "okta", Binding: "acme"})
	for _, p := range pods {
		await.Until(t, "the pod serves the change", func() bool { return revision(p) != before[p] })
	}
}

func (r *rig) auditKey() ed25519.PrivateKey {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, "audit"))
	if err != nil {
		r.t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	return key.(ed25519.PrivateKey)
}

// replaceAuditKey does what the operator does when it is asked for another key: the old one introduces it.
func (r *rig) replaceAuditKey() {
	r.t.Helper()
	_, next, err := ed25519.GenerateKey(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	introduced, err := audit.Succeed(r.auditKey(), next.Public().(ed25519.PublicKey), time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(next)
	if err != nil {
		r.t.Fatal(err)
	}
	successions, err := json.Marshal([]audit.Succession{introduced})
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("successions", successions)
	r.write("audit", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
