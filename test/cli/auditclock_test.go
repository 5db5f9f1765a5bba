package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/cli"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
	"sallyport.dev/sallyport/test/internal/await"
)

// TestFollowMissesNothingWhereAClockIsAhead: the last record that was shown is of a pod whose clock is an hour ahead, and what another one commits while the stream is broken
// off is older than that by its ID.
func TestFollowMissesNothingWhereAClockIsAhead(t *testing.T) {
	w, database := newCluster(t), storetest.PostgresURL(t)
	w.serveOkta("--store", database)
	now := time.Now()
	ahead, right := w.otherPod(database, "ahead", testclock.NewFakeClock(now.Add(time.Hour))), w.otherPod(database, "right", testclock.NewFakeClock(now))
	commit := func(db *store.DB, names ...string) {
		t.Helper()
		for _, name := range names {
			if err := db.WriteAudit(t.Context(), audit.Record{Type: audit.TypeSnapshotProgrammed, Target: audit.Target{Kind: "ServiceProvider", Name: name}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out watched
	out.changed = make(chan struct{}, 1)
	done := make(chan int)
	go func() {
		done <- cli.Run(ctx, []string{"audit", "--follow", "--type", "snapshot_programmed", "-o", "ndjson", "--kubeconfig", w.kubeconfig, "-n", w.ns}, cli.Options{Out: &out, Err: &bytes.Buffer{}, Forward: w})
	}()
	await.Until(w.t, "the question to be recorded", func() bool { return strings.Contains(w.api("/v1/audit?type=audit_queried"), "follow") })
	shown := func(name string) {
		t.Helper()
		await.Until(w.t, name+" to be shown", func() bool { return strings.Contains(out.String(), `"`+name+`"`) })
	}
	commit(right, "first")
	shown("first")
	commit(ahead, "second")
	shown("second")
	w.process.Stop()
	commit(right, "third")
	w.start()
	commit(ahead, "fourth")
	commit(right, "fifth")
	shown("fourth")
	shown("fifth")
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, name := range []string{"first", "second", "third", "fourth", "fifth"} {
		if n := strings.Count(out.String(), `"`+name+`"`); n != 1 {
			t.Errorf("%s was shown %d times", name, n)
		}
	}
}
