package controllers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/internal/audit"
)

// waitingRecord is a pass with one record to deliver to those pods.
func waitingRecord(pods ...string) *scope {
	s := &scope{memory: newMemory()}
	s.memory.ledger = newLedger(types.NamespacedName{Namespace: "sso", Name: "main"})
	s.memory.ledger.Entries["1"], s.memory.ledger.Records = ledgerEntry{}, []audit.Incoming{{Key: "1", Type: audit.TypeSAMLIdPCreated}}
	for _, name := range pods {
		pod := &corev1.Pod{}
		pod.Name = name
		s.ready = append(s.ready, pod)
	}
	return s
}

// TestRecordsWaitForAPodInPeace: an IdentityProvider may name a ServiceProvider that never comes.
func TestRecordsWaitForAPodInPeace(t *testing.T) {
	t.Parallel()
	s := waitingRecord()
	if err := (&Reconciler{}).deliverRecords(t.Context(), s); err != nil || s.requeueAfter != 0 || len(s.memory.ledger.Records) != 1 {
		t.Errorf("there is no pod, and the next pass is in %s (%v)", s.requeueAfter, err)
	}
}

// TestAPassWaitsForOnePodOnly: when the store hangs, no pod answers. When one pod hangs, the next pass asks another.
func TestAPassWaitsForOnePodOnly(t *testing.T) {
	t.Parallel()
	asked, addresses := make(chan string, 8), map[string]string{}
	for _, name := range []string{"hangs", "answers", "is not asked"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- name
			if name == "hangs" {
				_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that nobody waits any more
				<-r.Context().Done()
				return
			}
			_, _ = w.Write([]byte("{}"))
		}))
		defer server.Close()
		addresses[name] = strings.TrimPrefix(server.URL, "http://")
	}
	r := &Reconciler{Pods: func(pod *corev1.Pod) string { return addresses[pod.Name] }}
	s := waitingRecord("hangs", "answers", "is not asked")
	if err := r.deliverRecords(t.Context(), s); err != nil || s.requeueAfter != recordsRetry || len(asked) != 1 || <-asked != "hangs" {
		t.Errorf("others were asked too, or the next pass is in %s (%v)", s.requeueAfter, err)
	}
	if err := r.deliverRecords(t.Context(), s); err != nil || len(asked) != 1 || <-asked != "answers" || len(s.memory.ledger.Records) != 0 {
		t.Errorf("the next pass did not begin with another pod, and %d records wait (%v)", len(s.memory.ledger.Records), err)
	}
}
