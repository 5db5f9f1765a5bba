package replicas

import (
	"bytes"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// estate is a rig of two IdPs: okta, to which acme.example is bound and which asks for a second step, and the catch-all for everybody else.
type estate struct {
	*rig
	okta, catchAll snapshot.Connection
}

func newEstate(t *testing.T, storeURL string) *estate {
	t.Helper()
	e := &estate{rig: newRig(t, storeURL)}
	e.okta = e.connection
	e.okta.Provisioning.RequireSecondFactor = true
	var err error
	if e.catchAll, err = e.idp.Connection(ssoURL, "partners", time.Now()); err != nil {
		t.Fatal(err)
	}
	e.catchAll.CatchAll, e.catchAll.Enabled, e.catchAll.Provisioning.JIT, e.catchAll.Mapping = true, true, true, e.okta.Mapping
	e.serve("")
	return e
}

// serve publishes both IdPs with UIDs of a cluster.
func (e *estate) serve(cluster string) {
	e.t.Helper()
	e.okta.UID, e.catchAll.UID = "uid-okta"+cluster, "uid-partners"+cluster
	e.publish([]snapshot.Connection{e.okta, e.catchAll}, snapshot.Domain{Domain: "acme.example", Connection: "okta", Binding: "acme"})
	e.connection = e.okta
}

// restored is the same ServiceProvider with what was saved of it, on another store, in a cluster that gives its objects these UIDs.
func (e *estate) restored(storeURL, cluster string) *estate {
	e.t.Helper()
	same := *e.rig
	same.dir, same.storeURL = e.t.TempDir(), storeURL
	n := &estate{rig: &same, okta: e.okta, catchAll: e.catchAll}
	for _, name := range []string{"token", "factors", "audit"} {
		content, err := os.ReadFile(filepath.Join(e.dir, name))
		if err != nil {
			e.t.Fatal(err)
		}
		n.write(name, content)
	}
	n.write("store", []byte(storeURL))
	if err := os.Mkdir(filepath.Join(n.dir, "snapshot"), 0o700); err != nil {
		e.t.Fatal(err)
	}
	n.serve(cluster)
	return n
}

// save makes a backup of the store while p writes to it, and returns what makes stores of it.
func (r *rig) save(p *replica) (restore func() (storeURL string)) {
	r.t.Helper()
	run := func(name string, args ...string) {
		r.t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			r.t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	file, isSQLite := strings.CutPrefix(r.storeURL, "sqlite://")
	if !isSQLite {
		programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
		dump := filepath.Join(r.t.TempDir(), "dump")
		run(filepath.Join(programs[len(programs)-1], "pg_dump"), "--format=custom", "--file="+dump, r.storeURL)
		return func() string {
			into := storetest.PostgresURL(r.t)
			run(filepath.Join(programs[len(programs)-1], "pg_restore"), "--exit-on-error", "--dbname="+into, dump)
			return into
		}
	}
	// What a snapshot of the volume holds: every file as it is at one moment, in the middle of whatever the process does.
	volume := filepath.Join(r.t.TempDir(), "volume")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		r.t.Fatal(err)
	}
	run("cp", "-a", filepath.Dir(file), volume)
	if err := p.Signal(syscall.SIGCONT); err != nil {
		r.t.Fatal(err)
	}
	if wal, err := os.Stat(filepath.Join(volume, filepath.Base(file)+"-wal")); err != nil || wal.Size() == 0 {
		r.t.Fatalf("the log has nothing in it, so that this proves little: %v", err)
	}
	return func() string {
		claim := filepath.Join(r.t.TempDir(), "volume")
		run("cp", "-a", volume, claim)
		return "sqlite://" + filepath.Join(claim, filepath.Base(file))
	}
}

// proof is what `kubectl sso audit proof` keeps.
type proof struct {
	Heads []audit.Head
	Keys  []struct{ PublicKey []byte }
}

func (p *replica) proof() (kept proof) {
	p.t.Helper()
	if a, b := p.api("GET", "/v1/audit/heads", "", &kept), p.api("GET", "/v1/audit/keys", "", &kept); a != http.StatusOK || b != http.StatusOK {
		p.t.Fatalf("%d, %d", a, b)
	}
	return kept
}

// holds verifies the whole log as `kubectl sso audit verify --proof` does at a time, without a process beside it.
func (r *rig) holds(kept proof, now time.Time) *audit.Report {
	r.t.Helper()
	db, err := store.Open(r.t.Context(), r.storeURL, store.Options{AuditWriter: "checker"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	options := audit.VerifyOptions{Heads: kept.Heads, Whole: true, Now: now}
	for _, k := range kept.Keys {
		options.Keys = append(options.Keys, ed25519.PublicKey(k.PublicKey))
	}
	heads, err := db.AuditHeads(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	options.Heads = append(options.Heads, heads...)
	report, err := audit.Verify(bytes.NewReader(r.auditLog(db)), options)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// behind runs a statement on a store that nobody has open.
func (r *rig) behind(statement string) {
	r.t.Helper()
	driver, name := "pgx", r.storeURL
	if file, isSQLite := strings.CutPrefix(r.storeURL, "sqlite://"); isSQLite {
		driver, name = "sqlite", file
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	result, err := db.ExecContext(r.t.Context(), statement)
	if err != nil {
		r.t.Fatal(err)
	}
	if n, _ := result.RowsAffected(); n == 0 {
		r.t.Fatalf("%s changed nothing", statement)
	}
}

// person is what the management API says of somebody.
type person struct {
	ID            string
	Profile       store.Profile
	Groups        []struct{ Invalid bool }
	SecondFactors []struct{ Confirmed bool }
}

func (p *replica) person(email string) (who person) {
	p.t.Helper()
	if code := p.api("GET", "/v1/users/"+email, "", &who); code != http.StatusOK {
		p.t.Fatalf("%s: %d", email, code)
	}
	return who
}

// halfway signs in as far as the second step.
func (e *estate) halfway(p *replica, subject, email string) *browser {
	e.t.Helper()
	b := e.browser(p)
	request, got := b.begin(email)
	if request != nil {
		got = b.finishAs(request, subject, email)
	}
	if got.location != ssoURL+"/second-factor" {
		e.t.Fatalf("%s: %d %q %s", email, got.status, got.location, got.body)
	}
	return b
}

// isLetIn says whether a recovery code opens what halfway leads to.
func (e *estate) isLetIn(p *replica, subject, email, code string) bool {
	e.t.Helper()
	b := e.halfway(p, subject, email)
	return b.send(http.MethodPost, ssoURL+"/second-factor/verify", "same-origin", url.Values{"code": {code}}).location == appURL && b.check(p) == http.StatusOK
}

// refuses says that somebody is not signed in.
func (e *estate) refuses(p *replica, email string) {
	e.t.Helper()
	b := e.browser(p)
	request, _ := b.begin(email)
	if request == nil {
		e.t.Fatalf("%s did not get to the IdP", email)
	}
	if got := b.finish(request, email); got.status != http.StatusForbidden {
		e.t.Errorf("%s: %d %q", email, got.status, got.location)
	}
}

// enrol sets up an authenticator app and returns the recovery codes.
func (b *browser) enrol() (codes []string) {
	b.rig.t.Helper()
	form := url.Values{}
	page := b.send(http.MethodPost, ssoURL+"/second-factor/app", "same-origin", nil)
	for _, field := range hiddenField.FindAllStringSubmatch(page.body, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	key, err := url.Parse(form.Get("url"))
	if err != nil {
		b.rig.t.Fatal(err)
	}
	code, err := totp.GenerateCode(key.Query().Get("secret"), time.Now())
	if err != nil {
		b.rig.t.Fatalf("%v: %s", err, page.body)
	}
	form.Set("code", code)
	page = b.send(http.MethodPost, ssoURL+"/second-factor/app/confirm", "same-origin", form)
	for _, found := range recoveryCode.FindAllStringSubmatch(page.body, -1) {
		codes = append(codes, found[1])
	}
	if len(codes) != 10 {
		b.rig.t.Fatalf("%d %s", page.status, page.body)
	}
	return codes
}

var (
	hiddenField  = regexp.MustCompile(`name="(id|url)" value="([^"]*)"`)
	recoveryCode = regexp.MustCompile(`<li>([^<]+)</li>`)
)

// household is who was there when the backup was made.
type household struct {
	alice, dave *browser
	codes       []string
	asAlice     person
	asDave      person
	others      []string
	proof       proof
	restore     func() string
	ended       time.Time
}

// lived starts a process, lets people sign in, and makes a backup while others do.
func (e *estate) lived() (h household) {
	e.t.Helper()
	p := e.start()
	e.connection = e.catchAll
	h.dave = e.browser(p)
	if !h.dave.signIn("dave@partner.example") {
		e.t.Fatal("dave is not signed in")
	}
	e.connection = e.okta
	h.alice = e.halfway(p, "id-of-alice@acme.example", "alice@acme.example")
	h.codes = h.alice.enrol()
	e.halfway(p, "id-of-carol@acme.example", "carol@acme.example")
	if code := p.api("POST", "/v1/users/carol@acme.example/suspend", `{"reason":"left"}`, nil); code/100 != 2 {
		e.t.Fatal(code)
	}
	h.asAlice, h.asDave = p.person("alice@acme.example"), p.person("dave@partner.example")
	var others sync.WaitGroup
	var mutex sync.Mutex
	var known []string
	done := make(chan struct{})
	for i := range 4 {
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				email := fmt.Sprintf("user-%d-%d@acme.example", i, n)
				b := e.browser(p)
				if request, _ := b.begin(email); request != nil && b.finish(request, email).location == ssoURL+"/second-factor" {
					mutex.Lock()
					known = append(known, email)
					mutex.Unlock()
				}
			}
		})
	}
	count := func() int { mutex.Lock(); defer mutex.Unlock(); return len(known) }
	await.Until(e.t, "people sign in meanwhile", func() bool { return count() >= 8 })
	h.proof = p.proof()
	mutex.Lock()
	h.others = slices.Clone(known)
	mutex.Unlock()
	h.restore = e.save(p)
	close(done)
	others.Wait()
	p.Kill()
	h.ended = time.Now()
	return h
}
