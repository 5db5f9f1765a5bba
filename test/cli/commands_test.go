package cli

import (
	"bytes"
	"html"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"sallyport.dev/sallyport/internal/cli"
	"sallyport.dev/sallyport/internal/snapshot"
)

func TestExplainSaysWhatTheAccessRulesSay(t *testing.T) {
	w := newWorld(t)
	w.process.Stop()
	w.snapshot.ServiceProvider.Access = &snapshot.Access{Rules: []snapshot.AccessRule{
		{Hosts: []string{"grafana.example.com"}, PathPrefixes: []string{"/admin"}, Allow: "Matching", Groups: []string{"ops"}},
		{Hosts: []string{"grafana.example.com"}, Allow: "Matching", Groups: []string{"ml-team"}},
	}}
	w.start()
	w.browser().signIn("alice@acme.example")
	contains(t, w.must(0, "explain", "alice@acme.example", "--url", "https://grafana.example.com/d/1"), "Access: Allowed. ")
	contains(t, w.must(1, "explain", "alice@acme.example", "--url", "https://grafana.example.com/admin"), "Access: Denied. ", "ops")
	contains(t, w.must(1, "explain", "alice@acme.example", "--url", "https://other.example.com/"), "Access: Denied. ", "No rule names the host other.example.com")
	w.fails([]string{"explain", "alice@acme.example", "--url", "grafana"}, "url")
}

var hidden = regexp.MustCompile(`name="(id|url)" value="([^"]*)"`)

// TestASecondFactorIsTakenAway: a person with an authenticator app has none after it, and is asked to set one up again.
func TestASecondFactorIsTakenAway(t *testing.T) {
	w := newWorld(t)
	w.process.Stop()
	keys := filepath.Join(w.dir, "factor-keys")
	if err := os.WriteFile(keys, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.flags = []string{"--second-factor-key-file", keys}
	w.snapshot.Connections[0].Provisioning.RequireSecondFactor = true
	w.start()
	alice := w.browser()
	alice.signIn("alice@acme.example")
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(alice.post("/second-factor/app", "same-origin", nil).body, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	key, err := url.Parse(form.Get("url"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(key.Query().Get("secret"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	form.Set("code", code)
	if got := alice.post("/second-factor/app/confirm", "same-origin", form); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	next := func() string {
		b := w.browser()
		b.signIn("alice@acme.example")
		return b.get("/second-factor").body
	}
	if page := next(); strings.Contains(page, "Set up a second factor") {
		t.Fatalf("it does not know the app: %s", page)
	}
	contains(t, w.must(0, "users", "reset-second-factor", "alice@acme.example"), "alice@acme.example no longer has a second factor")
	contains(t, next(), "Set up a second factor")
	contains(t, w.must(0, "audit", "--type", "second_factor_reset"), "user/alice@acme.example", "admin@acme.example")
}

// TestCompletionScripts are what a shell takes, and the shell then completes our commands.
func TestCompletionScripts(t *testing.T) {
	w := newCluster(t)
	script := w.must(0, "completion", "bash")
	check := exec.Command("bash", "-n")
	check.Stdin = strings.NewReader(script)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("bash does not read it: %v\n%s", err, out)
	}
	for _, shell := range []string{"zsh", "fish", "powershell"} {
		contains(t, w.must(0, "completion", shell), "sso", "__complete")
	}
	// What the scripts ask for while somebody types.
	offered := func(typed ...string) string {
		t.Helper()
		var out bytes.Buffer
		if code := cli.Run(t.Context(), append([]string{"__complete"}, typed...), cli.Options{Out: &out, Err: io.Discard}); code != 0 {
			t.Errorf("%v: exit %d", typed, code)
		}
		return out.String()
	}
	contains(t, offered("au"), "audit\t")
	contains(t, offered("audit", "verify", "--pro"), "--proof")
	contains(t, offered("users", "re"), "reset-second-factor\t", "resume\t")
}
