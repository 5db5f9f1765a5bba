package outbox_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/audit/sink"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/internal/web/metrics"
	"sallyport.dev/sallyport/internal/web/outbox"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// receiver is a webhook that remembers the sequence numbers by writer in the order in which they came.
type receiver struct {
	*httptest.Server
	t      *testing.T
	status atomic.Int64
	// poison makes batches with that text be refused.
	poison atomic.Pointer[string]

	mu     sync.Mutex
	got    map[string][]uint64
	events []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, got: map[string][]uint64{}}
	r.status.Store(http.StatusOK)
	r.Server = httptest.NewTLSServer(http.HandlerFunc(r.take))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the sender died
	}
	if status := int(r.status.Load()); status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	if poison := r.poison.Load(); poison != nil && bytes.Contains(body, []byte(*poison)) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		record, err := audit.ParseLine(lines.Bytes())
		if err != nil {
			r.t.Errorf("%v in %s", err, lines.Bytes())
			return
		}
		r.got[record.Writer] = append(r.got[record.Writer], record.Sequence)
		r.events = append(r.events, record.Type.String()+" "+record.Reason)
	}
}

func (r *receiver) sink(name string) snapshot.AuditSink {
	return snapshot.AuditSink{Name: name, Type: sink.TypeWebhook, Endpoint: r.URL, Secret: []byte("key"),
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})}
}

// missing says what has not come in order: a repetition may go back, but nothing may be passed over.
func (r *receiver) missing(heads []audit.Head) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range heads {
		highest := uint64(0)
		for _, n := range r.got[h.Writer] {
			if n > highest+1 {
				return fmt.Sprintf("%s: %d came before %d", h.Writer, n, highest+1)
			}
			highest = max(highest, n)
		}
		if highest < h.Sequence {
			return fmt.Sprintf("%s: %d of %d came", h.Writer, highest, h.Sequence)
		}
	}
	return ""
}

func run(t *testing.T, db *store.DB, c clock.WithTicker, sinks ...snapshot.AuditSink) (*outbox.Outbox, func()) {
	t.Helper()
	b := outbox.New(outbox.Options{Store: db, Clock: c, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: metrics.New()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); b.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	b.Apply(sinks, true)
	return b, stop
}

func write(t *testing.T, db *store.DB, reasons ...string) {
	t.Helper()
	for _, reason := range reasons {
		if err := db.WriteAudit(t.Context(), audit.Record{Type: audit.TypeUserSignedInSAML, Reason: reason}); err != nil {
			t.Fatal(err)
		}
	}
}

func heads(t *testing.T, db *store.DB) []audit.Head {
	t.Helper()
	all, err := db.AuditHeads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func registered(t *testing.T, db *store.DB, names ...string) {
	t.Helper()
	waitFor(t, "the sinks to be "+strings.Join(names, ", "), func() bool {
		have, err := db.Sinks(t.Context())
		return err == nil && slices.Equal(have, names)
	})
}

// driven is a clock that goes on by itself while a test waits, so that minutes of back-off take moments.
func driven(t *testing.T) *testclock.FakeClock {
	c := testclock.NewFakeClock(time.Now())
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				c.Step(5 * time.Second)
			}
		}
	}()
	return c
}

func TestAnOutageOfTheSinkLosesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		db, r, c := storetest.Open(t, storeURL, store.Options{}), newReceiver(t), driven(t)
		_, _ = run(t, db, c, r.sink("siem"))
		registered(t, db, "spec/siem")
		began := c.Now()
		for _, status := range []int{503, 500, 429, 404, 200} {
			r.status.Store(int64(status))
			var group sync.WaitGroup
			for i := range 4 {
				group.Go(func() {
					for n := range 10 {
						write(t, db, fmt.Sprint(status, i, n))
					}
				})
			}
			group.Wait()
		}
		waitFor(t, "everything to arrive", func() bool { return r.missing(heads(t, db)) == "" })
		t.Log("the sink was away for", c.Since(began))
		// The cursor moves a moment after the records have arrived.
		waitFor(t, "nothing to wait any more", func() bool {
			waiting, err := db.Outbox(t.Context(), "spec/siem")
			return err == nil && waiting == (store.Backlog{})
		})
	})
}

// TestARecordThatIsRefusedIsPassedOver: it must not hold up those after it for ever, and that it was passed over must be on record.
func TestARecordThatIsRefusedIsPassedOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		db, r, c := storetest.Open(t, storeURL, store.Options{Lanes: 1}), newReceiver(t), driven(t)
		_, _ = run(t, db, c, r.sink("siem"))
		registered(t, db, "spec/siem")
		poison := "poison"
		r.poison.Store(&poison)
		write(t, db, "before", "poison", "after")
		waitFor(t, "the records after it", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Contains(r.events, "user_signed_in_saml after") && slices.Contains(r.events, "audit_dead_lettered refused")
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		if !slices.Contains(r.events, "user_signed_in_saml before") || slices.Contains(r.events, "user_signed_in_saml poison") {
			t.Errorf("%v", r.events)
		}
		found, _, err := db.Audit(t.Context(), store.AuditQuery{Types: []audit.Type{audit.TypeAuditDeadLettered}})
		if err != nil || len(found) != 1 || !strings.Contains(string(found[0].Line), `"sequence":2`) || !strings.Contains(string(found[0].Line), "422") {
			t.Errorf("%v %v", err, found)
		}
	})
}

func TestSinksComeAndGoWithTheSettings(t *testing.T) {
	db, a, b := storetest.Open(t, storetest.SQLiteURL(t), store.Options{}), newReceiver(t), newReceiver(t)
	write(t, db, "before there was a sink")
	box, _ := run(t, db, clock.RealClock{}, a.sink("a"))
	registered(t, db, "spec/a")
	write(t, db, "one")
	waitFor(t, "a", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.Equal(a.events, []string{"user_signed_in_saml one"})
	})
	box.Apply([]snapshot.AuditSink{a.sink("a"), b.sink("b")}, true)
	registered(t, db, "spec/a", "spec/b")
	// A sink that moves keeps its place.
	box.Apply([]snapshot.AuditSink{b.sink("a")}, true)
	registered(t, db, "spec/a")
	write(t, db, "two")
	waitFor(t, "the new place of a", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.Equal(b.events, []string{"user_signed_in_saml two"})
	})
	// Settings that may be older than others do not name what came since.
	box.Apply(nil, false)
	time.Sleep(200 * time.Millisecond)
	registered(t, db, "spec/a")
	box.Apply(nil, true)
	registered(t, db)
}

// TestASlowSinkHoldsUpNobody writes while the sink never answers.
func TestASlowSinkHoldsUpNobody(t *testing.T) {
	db := storetest.Open(t, storetest.SQLiteURL(t), store.Options{})
	asked, release := make(chan struct{}, 100), make(chan struct{})
	hung := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-release }))
	defer hung.Close()
	defer close(release)
	_, _ = run(t, db, clock.RealClock{}, snapshot.AuditSink{Name: "hung", Type: sink.TypeWebhook, Endpoint: hung.URL, Secret: []byte("k"),
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hung.Certificate().Raw})})
	registered(t, db, "spec/hung")
	write(t, db, "first")
	<-asked
	began := time.Now()
	for range 100 {
		write(t, db, "while the sink hangs")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("100 records took %v", took)
	}
}

// The kill constants tell a copy of this test binary to write records and to deliver them, until it is killed.
const (
	killURL   = "SALLYPORT_TEST_SINK_URL"
	killCA    = "SALLYPORT_TEST_SINK_CA"
	killStore = "SALLYPORT_TEST_STORE"
	killRound = "SALLYPORT_TEST_ROUND"
)

// TestKillHelper is the process that is killed. It does nothing in an ordinary run but check that it was not meant.
func TestKillHelper(t *testing.T) {
	storeURL := os.Getenv(killStore)
	if storeURL == "" {
		return
	}
	round, err := strconv.Atoi(os.Getenv(killRound))
	if err != nil {
		t.Fatal(err)
	}
	db := storetest.Open(t, storeURL, store.Options{AuditWriter: "pod-0", Clock: later{minutes: round}})
	_, _ = run(t, db, clock.RealClock{}, snapshot.AuditSink{Name: "siem", Type: sink.TypeWebhook, Endpoint: os.Getenv(killURL), Secret: []byte("k"), CABundle: []byte(os.Getenv(killCA))})
	registered(t, db, "spec/siem")
	for i := 0; ; i++ {
		write(t, db, "alive")
		if i == 0 {
			fmt.Println("writing")
		}
	}
}

// TestKilledWhileDelivering kills the process again and again while it writes and delivers.
func TestKilledWhileDelivering(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		r := newReceiver(t)
		settings := r.sink("siem")
		for round := range 5 {
			helper := exec.Command(os.Args[0], "-test.run=^TestKillHelper$", "-test.v")
			helper.Env = append(os.Environ(), killStore+"="+storeURL, killURL+"="+r.URL, killCA+"="+string(settings.CABundle), fmt.Sprintf("%s=%d", killRound, round))
			out, err := helper.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := helper.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "writing"); {
			}
			before := r.count()
			waitFor(t, "some deliveries", func() bool { return r.count() > before+20*(1+round) })
			if err := helper.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = helper.Wait()
		}
		db := storetest.Open(t, storeURL, store.Options{AuditWriter: "pod-0", Clock: later{minutes: 5}})
		_, _ = run(t, db, clock.RealClock{}, settings)
		waitFor(t, "the rest", func() bool { return r.missing(heads(t, db)) == "" })
		t.Logf("%d records of %d chains arrived", r.count(), len(heads(t, db)))
	})
}

// later is a clock for which the lease of a process that was killed before has run out.
type later struct {
	clock.RealClock
	minutes int
}

func (l later) Now() time.Time { return time.Now().Add(time.Duration(l.minutes) * time.Minute) }

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for v := range maps.Values(r.got) {
		n += len(v)
	}
	return n
}

// TestAnOutageOfTheStoreLosesNothing ends every connection to PostgreSQL again and again while records are written and delivered.
func TestAnOutageOfTheStoreLosesNothing(t *testing.T) {
	storeURL := storetest.PostgresURL(t)
	db, r := storetest.Open(t, storeURL, store.Options{}), newReceiver(t)
	admin := storetest.Open(t, storeURL, store.Options{AuditWriter: "admin"})
	_, _ = run(t, db, driven(t), r.sink("siem"))
	registered(t, db, "spec/siem")
	acknowledged := 0
	for i := range 60 {
		err := db.WriteAudit(t.Context(), audit.Record{Type: audit.TypeUserSignedInSAML, Reason: fmt.Sprint("n", i)})
		if err == nil {
			acknowledged++
		}
		if i%10 == 5 {
			// Our own connection ends too, so an error is what success looks like.
			_ = storetest.EndConnections(t.Context(), storeURL)
		}
	}
	waitFor(t, "the store to answer", func() bool { return errors.Join(db.Ping(t.Context()), admin.Ping(t.Context())) == nil })
	waitFor(t, "everything to arrive", func() bool { all, err := admin.AuditHeads(t.Context()); return err == nil && r.missing(all) == "" })
	r.mu.Lock()
	defer r.mu.Unlock()
	if arrived := len(slices.Compact(slices.Sorted(slices.Values(r.events)))); arrived < acknowledged || acknowledged < 40 {
		t.Errorf("%d records were acknowledged, %d arrived", acknowledged, arrived)
	}
}
