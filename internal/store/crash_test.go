package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/ration"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/session"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// crashURL and crashAt tell a copy of this test binary to sign alice in and to die by SIGKILL before the given statement. crashPrevious is the hash of the session
// that she has already, "" at her first sign-in.
const (
	crashURL      = "SALLYPORT_TEST_CRASH_URL"
	crashAt       = "SALLYPORT_TEST_CRASH_AT"
	crashPrevious = "SALLYPORT_TEST_CRASH_PREVIOUS"
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
	store.OnStatement(d, func(string) {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if _, err := provision.NewService(d, ration.New(clock.RealClock{}, d.WriteAudit, nil)).SignIn(context.Background(), crashSignIn(t, os.Getenv(crashPrevious))); err != nil {
		t.Fatal(err)
	}
	fmt.Println("signed in after", n)
	_ = d.Close()
}

// crashSignIn is alice's first sign-in, or one in the browser that has a session, with a name, other groups and another department.
func crashSignIn(t *testing.T, previous string) provision.SignIn {
	t.Helper()
	mapping, err := identity.CompileMapping(identity.Preset("Generic"))
	if err != nil {
		t.Fatal(err)
	}
	in := provision.SignIn{
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
	if previous == "" {
		return in
	}
	key, err := hex.DecodeString(previous)
	if err != nil {
		t.Fatal(err)
	}
	in.Previous, in.Assertion.ID = (*session.Key)(key), "_a2"
	in.Assertion.Attributes = map[string][]string{"email": {"alice@example.com"}, "firstName": {"Alice"}, "groups": {"dev", "sec"}, "department": {"Robotics"}}
	return in
}

// TestKilledAtEveryStatement kills a process at each statement of a first sign-in, and of another one that ends a session and changes everything. What is left is all
// of it or nothing: no user without its record, no session without its user, an audit chain without a gap, and the same assertion can still be used when nothing was
// committed.
func TestKilledAtEveryStatement(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		if strings.HasPrefix(storeURL, "postgres") {
			storetest.Open(t, storeURL, store.Options{}) // the helpers need not migrate
		}
		first := killAtEach(t, storeURL, "", "0 users [] 0 records", "1 users  ML dev,ops 5 records")
		killAtEach(t, storeURL, first, "1 users  ML dev,ops 5 records", "1 users Alice Robotics dev,sec 11 records")
	})
}

// killAtEach kills at each statement of a sign-in until one ends, and returns the hash of the session that it opened.
func killAtEach(t *testing.T, storeURL, previous, before, after string) string {
	t.Helper()
	for at := 1; at <= 60; at++ {
		helper := exec.Command(os.Args[0], "-test.run=^TestCrashHelper$", "-test.v")
		helper.Env = append(os.Environ(), crashURL+"="+storeURL, crashAt+"="+strconv.Itoa(at), crashPrevious+"="+previous)
		out, err := helper.CombinedOutput()
		done := err == nil && strings.Contains(string(out), "signed in after")
		want := before
		if done {
			want = after
		}
		opened := leftBy(t, storeURL, at, previous, want, done)
		if done {
			if at < 12 {
				t.Errorf("only %d statements were tried", at)
			}
			return opened
		}
		if status, ok := helper.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("statement %d: %v\n%s", at, err, out)
		}
	}
	t.Fatal("the sign-in never ended")
	return ""
}

// leftBy holds what is in the store against what should be, and returns the hash of the one session, "" without one.
func leftBy(t *testing.T, storeURL string, at int, previous, want string, done bool) string {
	t.Helper()
	d, err := store.Open(t.Context(), storeURL, store.Options{Clock: testclock.NewFakeClock(start), AuditWriter: "checker", Signer: signer(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	users, _, err := d.Users(t.Context(), store.UserQuery{})
	if err != nil {
		t.Fatal(err)
	}
	sessions, _, err := d.Sessions(t.Context(), store.SessionQuery{})
	if err != nil {
		t.Fatal(err)
	}
	records, _, err := d.Audit(t.Context(), store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	hash, who := "", "[]"
	if len(users) == 1 {
		profile, err := d.Profile(t.Context(), users[0].ID)
		if err != nil || len(sessions) != 1 {
			t.Fatalf("killed at statement %d: %d sessions, %v", at, len(sessions), err)
		}
		who, hash = users[0].FirstName+" "+profile["department"].Value+" "+strings.Join(sessions[0].Groups, ","), hex.EncodeToString(sessions[0].TokenHash)
		if (hash == previous) == done {
			t.Errorf("killed at statement %d: the session is the earlier one: %v", at, hash == previous)
		}
	}
	if got := fmt.Sprintf("%d users %s %d records", len(users), who, len(records)); got != want {
		t.Errorf("killed at statement %d: %s, want %s", at, got, want)
	}
	e := &auditEnv{T: t, db: d}
	r, err := audit.Verify(bytes.NewReader(e.export()), audit.VerifyOptions{Keys: []ed25519.PublicKey{signer(t).Public()}, OpenEnd: true})
	if err != nil || !r.OK() {
		t.Errorf("killed at statement %d: %v %+v", at, err, r.Findings)
	}
	return hash
}
