package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// crashURL and crashAt tell a copy of this test binary to sign alice in and to die by SIGKILL before the given statement.
const (
	crashURL = "SALLYPORT_TEST_CRASH_URL"
	crashAt  = "SALLYPORT_TEST_CRASH_AT"
)

// TestCrashHelper is the process that dies. It does nothing in an ordinary run but check that it was not meant.
func TestCrashHelper(t *testing.T) {
	storeURL := os.Getenv(crashURL)
	if storeURL == "" {
		return
	}
	at, err := strconv.Atoi(os.Getenv(crashAt))
	if err != nil {
		t.Fatal(err)
	}
	d, err := store.Open(context.Background(), storeURL, store.Options{Clock: testclock.NewFakeClock(start), AuditWriter: "test", Signer: signer(t)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	store.OnStatement(d, func() {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if _, err := provision.NewService(d).SignIn(context.Background(), crashSignIn(t)); err != nil {
		t.Fatal(err)
	}
	fmt.Println("signed in after", n)
	_ = d.Close()
}

func crashSignIn(t *testing.T) provision.SignIn {
	t.Helper()
	mapping, err := identity.CompileMapping(identity.Preset("Generic"))
	if err != nil {
		t.Fatal(err)
	}
	return provision.SignIn{
		Connection: provision.Connection{IdP: okta, Enabled: true, Provisioning: snapshot.Provisioning{JIT: true}, Mapping: mapping},
		Domains:    identity.NewDomainTable([]snapshot.Domain{{Domain: "example.com", Connection: "okta"}}, nil),
		Profile:    []snapshot.ProfileAttribute{{Name: "department", Mirror: true}},
		Assertion: provision.Assertion{
			Input: identity.Input{
				NameID:     identity.NameID{Value: "p1", Format: identity.FormatPersistent},
				Attributes: map[string][]string{"email": {"alice@example.com"}, "groups": {"dev", "ops"}, "department": {"ML"}},
			},
			ID: "_a1", ReplayUntil: start.Add(time.Hour),
		},
	}
}

// TestKilledAtEveryStatement kills a process at each statement of a first sign-in. What is left is all of it or nothing: no user without its record, no session
// without its user, an audit chain without a gap, and the same assertion can still be used when nothing was committed.
func TestKilledAtEveryStatement(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		if strings.HasPrefix(storeURL, "postgres") {
			storetest.Open(t, storeURL, store.Options{}) // the helpers need not migrate
		}
		for at := 1; ; at++ {
			if at > 60 {
				t.Fatal("the sign-in never ended")
			}
			helper := exec.Command(os.Args[0], "-test.run=^TestCrashHelper$", "-test.v")
			helper.Env = append(os.Environ(), crashURL+"="+storeURL, crashAt+"="+strconv.Itoa(at))
			out, err := helper.CombinedOutput()
			d, openErr := store.Open(t.Context(), storeURL, store.Options{Clock: testclock.NewFakeClock(start), AuditWriter: "checker", Signer: signer(t)})
			if openErr != nil {
				t.Fatal(openErr)
			}
			done := err == nil && strings.Contains(string(out), "signed in after")
			check(t, d, at, done)
			_ = d.Close()
			if done {
				if at < 12 {
					t.Errorf("only %d statements were tried", at)
				}
				return
			}
			if status, ok := helper.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("statement %d: %v\n%s", at, err, out)
			}
		}
	})
}

func check(t *testing.T, d *store.DB, at int, done bool) {
	t.Helper()
	want := 0
	if done {
		want = 1
	}
	users, _, err := d.Users(t.Context(), store.UserQuery{})
	if err != nil {
		t.Fatal(err)
	}
	sessions, _, err := d.Sessions(t.Context(), store.SessionQuery{})
	if err != nil {
		t.Fatal(err)
	}
	created, _, err := d.Audit(t.Context(), store.AuditQuery{Types: []audit.Type{audit.TypeUserCreatedJIT, audit.TypeUserSignedInSAML}})
	if err != nil {
		t.Fatal(err)
	}
	if len(users) != want || len(sessions) != want || len(created) != 2*want {
		t.Errorf("killed at statement %d: %d users, %d sessions, %d records", at, len(users), len(sessions), len(created))
	}
	e := &auditEnv{T: t, db: d}
	r, err := audit.Verify(bytes.NewReader(e.export()), audit.VerifyOptions{Keys: []ed25519.PublicKey{signer(t).Public()}, OpenEnd: true})
	if err != nil || !r.OK() {
		t.Errorf("killed at statement %d: %v %+v", at, err, r.Findings)
	}
}
