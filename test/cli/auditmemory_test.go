package cli

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// peak is the most memory that the service provider has held, in bytes.
func (w *world) peak() int {
	w.t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.process.PID()))
	if err != nil {
		w.t.Fatal("the system does not say what memory a process has held:", err)
	}
	_, after, _ := strings.Cut(string(content), "VmHWM:")
	kilobytes := 0
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		w.t.Fatal(err)
	}
	return kilobytes << 10
}

// exportAll reads everything and returns how many records and bytes it was.
func (w *world) exportAll() (records, size int) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.management+"/v1/audit/export", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		records++
		size += len(lines.Bytes())
	}
	if lines.Err() != nil || response.StatusCode != http.StatusOK {
		w.t.Fatal(response.Status, lines.Err())
	}
	return records, size
}

// TestAnExportHoldsOnePage: the memory of the process that serves it does not grow with the number of records.
func TestAnExportHoldsOnePage(t *testing.T) {
	const few, many, most = 1_000, 10_000, 16 << 20
	w, database := newCluster(t), storetest.PostgresURL(t)
	w.serveOkta("--store", database)
	db := w.otherPod(database, "second", clock.RealClock{})
	large := audit.Record{Type: audit.TypeSnapshotProgrammed, Details: map[string]string{"padding": strings.Repeat("x", 4000)}}
	held := func(more, total int) int {
		w.process.Stop()
		fill(t, db, more, large)
		if err := db.RemoveSink(t.Context(), "stdout"); err != nil { // so that only the export is measured, and not the delivery
			t.Fatal(err)
		}
		w.start()
		if records, size := w.exportAll(); records < total || size < total*4000 {
			t.Fatalf("%d records of %d bytes", records, size)
		}
		return w.peak()
	}
	before := held(few, few)
	if after := held(many-few, many); after-before > most {
		t.Errorf("%d MiB more for %d records than for %d, which are %d MiB more", (after-before)>>20, many, few, (many-few)*4000>>20)
	} else {
		t.Logf("%d KiB for %d records, %d KiB for %d", before>>10, few, after>>10, many)
	}
}
