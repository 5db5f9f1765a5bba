package replicas

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// TestStoreCredentialsRotateUnderARunningProcess: the Secret's file names another role, the old role may not log in any more and its connections are cut.
// The same process goes on.
func TestStoreCredentialsRotateUnderARunningProcess(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	admin, err := pgx.Connect(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	must := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := admin.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	must("CREATE ROLE of_today LOGIN SUPERUSER", "CREATE ROLE of_tomorrow LOGIN SUPERUSER")
	as := func(role string) string { return strings.Replace(storeURL, "postgres@", role+"@", 1) }
	r := newRig(t, as("of_today"))
	p := r.start()
	pid := p.PID()
	if !r.browser(p).signIn("alice@acme.example") {
		t.Fatal("alice is not signed in")
	}
	r.write("store", []byte(as("of_tomorrow")+"\n"))
	must("ALTER ROLE of_today NOLOGIN", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'of_today'")
	await.Until(t, "the store answers again", func() bool { return p.probe("/readyz") == http.StatusOK })
	if !r.browser(p).signIn("bob@acme.example") || p.PID() != pid {
		t.Error("nobody can sign in any more")
	}
	var left int
	if err := admin.QueryRow(t.Context(), "SELECT COUNT(*) FROM pg_stat_activity WHERE usename = 'of_today'").Scan(&left); err != nil || left > 0 {
		t.Errorf("%d connections of the old role, %v", left, err)
	}
}
