package controllers

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/source"
)

// addresses of the management API of each pod, by UID: pods here have no network.
var addresses sync.Map

// addressOf is where the operator finds a pod's management API.
func addressOf(pod *corev1.Pod) string {
	address, _ := addresses.Load(pod.UID)
	found, _ := address.(string)
	return found
}

// pod follows the snapshot Secrets as a service provider does and answers on a management API.
type pod struct {
	*corev1.Pod
	ns, serviceProvider string
	stop                context.CancelFunc

	storeDown atomic.Bool
	// storeProblem is a string: why.
	storeProblem atomic.Value

	mutex    sync.Mutex
	revision string
	snapshot snapshot.Snapshot
	changed  chan struct{}
	// removed are the UIDs of IdentityProviders that the operator has had undone.
	removed []string
	// takes gets the operator's audit records. Nil: nobody does.
	takes func([]audit.Incoming) error
	// sees is told of every snapshot. Nil: nobody is.
	sees func(snapshot.Snapshot)
}

// newPod makes a pod of the ServiceProvider that becomes ready with its first snapshot.
func newPod(t testing.TB, ns, serviceProvider string) *pod {
	t.Helper()
	p := podObject(t, ns, serviceProvider)
	p.serve(t)
	select {
	case <-p.firstSnapshot():
	case <-time.After(patience):
		t.Fatal("there is no snapshot to serve")
	}
	p.setReady(t, true)
	return p
}

func podObject(t testing.TB, ns, serviceProvider string) *pod {
	t.Helper()
	p := &pod{ns: ns, serviceProvider: serviceProvider, changed: make(chan struct{})}
	p.Pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: serviceProvider + "-", Labels: render.Labels(serviceProvider)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "service-provider", Image: "none"}}}}
	if err := k8s.Create(t.Context(), p.Pod); err != nil {
		t.Fatal(err)
	}
	return p
}

// serve follows the snapshot and answers for it.
func (p *pod) serve(t testing.TB) {
	t.Helper()
	client, err := dynamic.NewForConfig(apiServer)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	go source.NewSecrets(client, p.ns, p.serviceProvider, slog.New(slog.DiscardHandler)).Follow(ctx, p.take)
	server := listening(ctx, http.HandlerFunc(p.answer))
	t.Cleanup(func() {
		cancel()
		server.Close()
	})
	addresses.Store(p.UID, strings.TrimPrefix(server.URL, "http://"))
}

func (p *pod) take(s snapshot.Snapshot, revision string) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.snapshot, p.revision = s, revision
	if p.sees != nil {
		p.sees(s)
	}
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}

func (p *pod) current() (snapshot.Snapshot, string, chan struct{}) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.snapshot, p.revision, p.changed
}

// undone tells how often the operator has had undone what an IdentityProvider left.
func (p *pod) undone(uid types.UID) int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	n := 0
	for _, removed := range p.removed {
		if removed == string(uid) {
			n++
		}
	}
	return n
}

func (p *pod) firstSnapshot() <-chan struct{} {
	_, revision, changed := p.current()
	if revision != "" {
		changed = make(chan struct{})
		close(changed)
	}
	return changed
}

// answer is GET /v1/revision?wait=REVISION&timeout=DURATION.
func (p *pod) answer(w http.ResponseWriter, r *http.Request) {
	var secret corev1.Secret
	err := k8s.Get(r.Context(), types.NamespacedName{Namespace: p.ns, Name: render.ManagementSecretName(p.serviceProvider)}, &secret)
	if err != nil || r.Header.Get("Authorization") != "Bearer "+string(secret.Data["token"]) || len(secret.Data["token"]) < 32 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/v1/audit/records" {
		p.record(w, r)
		return
	}
	if r.Method == http.MethodPost {
		p.mutex.Lock()
		p.removed = append(p.removed, strings.Split(r.URL.Path, "/")[3])
		p.mutex.Unlock()
		_, _ = w.Write([]byte("{}"))
		return
	}
	if r.URL.Path == "/v1/stats" {
		w.WriteHeader(http.StatusNotFound) // nothing is counted here, so that no count comes in between
		return
	}
	timeout, _ := time.ParseDuration(r.FormValue("timeout"))
	deadline := time.After(timeout)
	for {
		_, revision, changed := p.current()
		if revision != r.FormValue("wait") {
			select {
			case <-changed:
				continue
			case <-r.Context().Done():
			case <-deadline:
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"revision": revision, "ready": !p.storeDown.Load(), "storeProblem": p.storeProblem.Load()})
		return
	}
}

func (p *pod) record(w http.ResponseWriter, r *http.Request) {
	var in struct{ Records []audit.Incoming }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if p.takes != nil {
		if err := p.takes(in.Records); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = w.Write([]byte("{}"))
}

func (p *pod) setReady(t testing.TB, ready bool) {
	t.Helper()
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.Now()}}}
	if err := k8s.Status().Update(t.Context(), p.Pod); err != nil {
		t.Fatal(err)
	}
}

// setStore says whether the store of the pod answers.
func (p *pod) setStore(answers bool) { p.storeDown.Store(!answers) }
