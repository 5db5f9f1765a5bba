package cli

import (
	"crypto/ed25519"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// otherPod is the store as another pod has it open, with the same key.
func (w *world) otherPod(url, name string, c clock.PassiveClock) *store.DB {
	w.t.Helper()
	content, err := os.ReadFile(w.auditKey)
	if err != nil {
		w.t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	signer, err := audit.NewSigner(key.(ed25519.PrivateKey))
	if err != nil {
		w.t.Fatal(err)
	}
	return storetest.Open(w.t, url, store.Options{AuditWriter: name, Signer: signer, Lanes: 1, Clock: c})
}

// ahead is a clock that is a second ahead of the other pods': what it dates then is newer than an export that began before.
type ahead struct{ clock.PassiveClock }

const skew = time.Second

func (ahead) Now() time.Time { return time.Now().Add(skew) }

// fill writes records, sealed every 1,000.
func fill(t *testing.T, db *store.DB, n int, r audit.Record) {
	t.Helper()
	for range n / 500 {
		if err := db.WriteAudit(t.Context(), slices.Repeat([]audit.Record{r}, 500)...); err != nil {
			t.Fatal(err)
		}
	}
}

// before runs something before the pod answers a request that holds this; again is how often it was asked before.
func (w *world) before(request string, then func(again int)) {
	w.t.Helper()
	target, err := url.Parse("http://" + w.management)
	if err != nil {
		w.t.Fatal(err)
	}
	pod, asked := httputil.NewSingleHostReverseProxy(target), 0
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.String(), request) {
			then(asked)
			asked++
		}
		pod.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(func() {
		front.Close()
		if asked == 0 {
			w.t.Errorf("nobody asked for %s", request)
		}
	})
	w.pods.Store(w.pod.Name, front.Listener.Addr().String())
}

// retain removes what is sealed, as a pod does once an hour. It is a pod of which nothing is in the log yet.
func (w *world) retain(database string) {
	t, db := w.t, w.otherPod(database, "third", ahead{})
	for all := 0; ; {
		n, err := db.ApplyAuditRetention(t.Context(), time.Now().Add(2*skew), 5000)
		if err != nil {
			t.Error(err)
		}
		if all += n; n == 0 {
			if all < 10_000 {
				t.Errorf("retention has removed %d records", all)
			}
			return
		}
	}
}

// cut removes the same without a word, but for what the table of the chains says.
func cut(t *testing.T, url string) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	for _, statement := range []string{
		`DELETE FROM audit_records WHERE writer = 'second/0' AND sequence < (SELECT MAX(sequence) FROM audit_records WHERE writer = 'second/0' AND type = 'audit_checkpoint')`,
		`UPDATE audit_writers SET first_sequence = (SELECT MIN(sequence) FROM audit_records WHERE writer = 'second/0') WHERE writer = 'second/0'`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Error(err)
		}
	}
}

// TestRetentionMeanwhileIsNoFault: what retention removes while the log is verified or exported is accounted for, and what somebody else removes then is not.
func TestRetentionMeanwhileIsNoFault(t *testing.T) {
	const first, second = "/chain?after=0&limit=10000&writer=second", "/chain?after=10000&"
	begin := func(t *testing.T) (w *world, database string) {
		w, database = newCluster(t), storetest.PostgresURL(t)
		w.serveOkta("--store", database)
		db := w.otherPod(database, "second", clock.RealClock{})
		fill(t, db, 12_000, audit.Record{Type: audit.TypeSnapshotProgrammed})
		await.Until(w.t, "standard output to have everything", func() bool {
			waiting, err := db.Outbox(t.Context(), "stdout")
			return err == nil && waiting.Records == 0
		})
		return w, database
	}
	for name, page := range map[string]string{"before a chain is read": first, "in the middle of one": second} {
		t.Run(name, func(t *testing.T) {
			w, database := begin(t)
			w.before(page, func(int) { w.retain(database) })
			contains(t, w.must(0, "audit", "verify"), "no gaps, no changes")
		})
	}
	for finding, page := range map[string]string{"cut_beginning (": first, "missing (": second} {
		t.Run(finding, func(t *testing.T) {
			w, database := begin(t)
			w.before(page, func(int) { cut(t, database) })
			contains(t, w.must(1, "audit", "verify"), finding)
		})
	}
	t.Run("export", func(t *testing.T) {
		w, database := begin(t)
		w.before("/audit/export", func(again int) {
			if again == 0 {
				w.retain(database)
			}
		})
		file := filepath.Join(t.TempDir(), "audit.ndjson")
		w.must(0, "audit", "export", "--file", file)
		contains(t, w.must(0, "audit", "verify", file), "no gaps, no changes")
	})
	t.Run("export of a part that ends before", func(t *testing.T) {
		w, database := begin(t)
		until := time.Now().Add(time.Second).UTC().Format(time.RFC3339) // before what retention says of itself: its clock is ahead
		w.before("/audit/export", func(again int) {
			if again == 0 {
				w.retain(database)
			}
		})
		file := filepath.Join(t.TempDir(), "audit.ndjson")
		w.must(0, "audit", "export", "--until", until, "--file", file)
		contains(t, w.must(0, "audit", "verify", file), "no gaps, no changes", "not proved: anything about records from "+until+" on")
	})
}
