package controllers

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// errAway is what an operator gets while the API server cannot be reached.
var errAway = errors.New("the API server is away")

// faults tells whether the API server cannot be reached with the request, and what changes what comes over a watch.
func (w *wire) faults(request *http.Request) (away bool, watched func(io.ReadCloser) io.ReadCloser) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.away || w.lost != "" && isWrite(request) && strings.HasSuffix(request.URL.Path, w.lost), w.watched
}

func (w *wire) setAway(away bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.away = away
}

// lose loses every write of the object at the end of this path; empty: of none.
func (w *wire) lose(path string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.lost = path
}

// late is a watch whose events come so much later: the operator reads from a cache that is behind.
type late struct {
	io.ReadCloser
	by time.Duration
}

func (l late) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	time.Sleep(l.by)
	return n, err
}

// cut is a watch that breaks after a while, so that events are missed until the next one begins.
func cut(body io.ReadCloser) io.ReadCloser {
	time.AfterFunc(300*time.Millisecond, func() { body.Close() })
	return body
}

// TestNoFaultOfTheAPIServerChangesTheOutcome lives one life of an IdentityProvider under each fault: every run ends as the undisturbed one, with the same records, each told once,
// and with as many objects created and deleted.
func TestNoFaultOfTheAPIServerChangesTheOutcome(t *testing.T) {
	t.Parallel()
	clean := live(t, nil, false)
	if len(clean.records) < 6 || clean.creates < 4 {
		t.Fatalf("a life without faults is %+v: the test proves nothing", clean)
	}
	for _, fault := range []struct {
		name   string
		watch  func(io.ReadCloser) io.ReadCloser
		outage bool
	}{
		{name: "stale reads, by 50 ms", watch: func(b io.ReadCloser) io.ReadCloser { return late{b, 50 * time.Millisecond} }},
		{name: "stale reads, by half a second", watch: func(b io.ReadCloser) io.ReadCloser { return late{b, 500 * time.Millisecond} }},
		{name: "watches that break", watch: cut},
		{name: "the API server is away after each change", outage: true},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			got := live(t, fault.watch, fault.outage)
			if !slices.Equal(got.records, clean.records) {
				t.Errorf("recorded were\n%v, without the fault\n%v", got.records, clean.records)
			}
			if got.creates != clean.creates || got.deletes != clean.deletes {
				t.Errorf("%d objects were created and %d deleted, without the fault %d and %d", got.creates, got.deletes, clean.creates, clean.deletes)
			}
		})
	}
}

type outcome struct {
	records          []string
	creates, deletes int
}

// live makes a connection with a domain, changes it, switches it off and on, and deletes it, and returns what was recorded about it and written for it.
func live(t *testing.T, watched func(io.ReadCloser) io.ReadCloser, outage bool) outcome {
	t.Helper()
	ns := namespace(t)
	o := newOperator(t, ns, func(o *operator) { o.wire.watched = watched })
	idp, binding := identityProvider(ns, "okta", inline(t)), domainBinding(ns, "acme", "acme.example", "okta")
	create(t, serviceProvider(ns), idp, binding)
	newPod(t, ns, "main")
	await(t, binding, "Ready", isTrue, "Serving")
	step := func(change func(), reason string) {
		t.Helper()
		before := client.MergeFrom(idp.DeepCopy())
		change()
		o.wire.setAway(outage)
		if err := k8s.Patch(t.Context(), idp, before); err != nil {
			t.Fatal(err)
		}
		if outage {
			time.Sleep(2 * time.Second)
			o.wire.setAway(false)
		}
		await(t, idp, "Ready", map[bool]metav1.ConditionStatus{true: isTrue, false: isFalse}[reason == "Serving"], reason)
	}
	step(func() { idp.Spec.DisplayName = "Acme Two" }, "Serving")
	step(func() { idp.Spec.State = v1alpha1.StateDisabled }, "Disabled")
	step(func() { idp.Spec.State = v1alpha1.StateEnabled }, "Serving")
	// One after the other: who deletes both at once may see the deletion of the IdentityProvider blocked for a moment, or not.
	remove(t, binding)
	awaitGone(t, patience, binding)
	eventually(t, "the unbinding is told", func() bool { return !o.remembers(t, binding) })
	remove(t, idp)
	awaitGone(t, patience, idp)
	eventually(t, "the deletion is told", func() bool { return !o.remembers(t, idp) && !o.remembers(t, binding) })
	got := outcome{records: o.audit.stories(idp, binding)}
	for _, write := range o.wire.take() {
		switch method, _, _ := strings.Cut(write, " "); method {
		case "POST":
			got.creates++
		case "DELETE":
			got.deletes++
		}
	}
	return got
}
