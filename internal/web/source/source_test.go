package source

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/internal/snapshot"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func encode(t *testing.T, names ...string) *snapshot.Encoded {
	t.Helper()
	s := snapshot.Snapshot{ServiceProvider: snapshot.ServiceProvider{Name: "main", URL: "https://sso.example.com"}}
	for _, name := range names {
		s.Connections = append(s.Connections, snapshot.Connection{Name: name})
	}
	encoded, err := snapshot.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// record is an Apply that keeps what it was given.
type record struct {
	revisions chan string
	err       error
}

func (r *record) apply(_ snapshot.Snapshot, revision string) error {
	if r.err == nil {
		r.revisions <- revision
	}
	return r.err
}

func (r *record) next(t *testing.T) string {
	t.Helper()
	select {
	case revision := <-r.revisions:
		return revision
	case <-time.After(10 * time.Second):
		t.Fatal("no snapshot came")
		return ""
	}
}

// mount writes the files as the kubelet does: a new directory, then one rename.
func mount(t *testing.T, dir, generation string, e *snapshot.Encoded) {
	t.Helper()
	data := filepath.Join(dir, "..gen"+generation)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range e.Files {
		if err := os.WriteFile(filepath.Join(data, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range snapshot.FileNames() {
		os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)) //nolint:errcheck // they are there after the first time
	}
	if err := os.Symlink(filepath.Base(data), filepath.Join(dir, "..tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryFollowsMountedSecrets(t *testing.T) {
	dir, r := t.TempDir(), &record{revisions: make(chan string, 10)}
	d := NewDirectory(dir, clock.RealClock{}, quiet)
	if err := d.Load(r.apply); err == nil {
		t.Fatal("an empty directory loaded")
	}
	first, second := encode(t, "okta"), encode(t, "okta", "entra")
	mount(t, dir, "1", first)
	if err := d.Load(r.apply); err != nil || r.next(t) != first.Revision {
		t.Fatal(err)
	}
	if err := d.Load(r.apply); err != nil || len(r.revisions) != 0 {
		t.Fatal("an unchanged directory was applied again")
	}
	mount(t, dir, "2", second)
	if err := d.Load(r.apply); err != nil || r.next(t) != second.Revision {
		t.Fatal(err)
	}
}

func TestDirectoryKeepsLastGood(t *testing.T) {
	dir, r := t.TempDir(), &record{revisions: make(chan string, 10)}
	d := NewDirectory(dir, clock.RealClock{}, quiet)
	first, second := encode(t, "okta"), encode(t, "okta", "entra", "adfs")
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range first.Files {
		write(name, content)
	}
	if err := d.Load(r.apply); err != nil || r.next(t) != first.Revision {
		t.Fatal(err)
	}
	// The new index has come, not all of its shards.
	write(snapshot.IndexFile, second.Files[snapshot.IndexFile])
	if err := d.Load(r.apply); err == nil {
		t.Fatal("half a snapshot loaded")
	} else if _, ok := errors.AsType[*snapshot.IncompleteError](err); !ok {
		t.Fatal(err)
	}
	for name, content := range second.Files {
		write(name, content)
	}
	// A snapshot that cannot be compiled is tried again until it can.
	r.err = errors.New("no")
	if err := d.Load(r.apply); err == nil {
		t.Fatal("applied")
	}
	r.err = nil
	if err := d.Load(r.apply); err != nil || r.next(t) != second.Revision {
		t.Fatal(err)
	}
}

func secret(name, key string, content []byte) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": "sso", "resourceVersion": "1"},
		"data": map[string]any{key: base64.StdEncoding.EncodeToString(content)},
	}}
}

// publish writes shards first and the index last, as the operator does.
func publish(t *testing.T, client *fake.FakeDynamicClient, e *snapshot.Encoded) {
	t.Helper()
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range e.Files {
			if name != snapshot.IndexFile && !yield(name) {
				return
			}
		}
	})
	for _, name := range append(names, snapshot.IndexFile) {
		object := secret(snapshot.SecretName("main", name), name, e.Files[name])
		secrets := client.Resource(secretResource).Namespace("sso")
		if _, err := secrets.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			if _, err := secrets.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSecretsFollowTheIndex(t *testing.T) {
	client := fake.NewSimpleDynamicClient(runtime.NewScheme())
	first, second := encode(t, "okta", "adfs"), encode(t, "okta", "adfs", "entra")
	publish(t, client, first)
	r := &record{revisions: make(chan string, 10)}
	s := NewSecrets(client, "sso", "main", quiet)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Follow(ctx, r.apply); close(done) }()
	if got := r.next(t); got != first.Revision {
		t.Fatalf("%s, want %s", got, first.Revision)
	}
	for !s.Live() {
		time.Sleep(time.Millisecond)
	}
	publish(t, client, second)
	// The fake's watch may start after the change: then the next round reads it.
	for got := ""; got != second.Revision; {
		got = r.next(t)
	}
	cancel()
	<-done
}

// TestSecretsWaitForTheIndexOfANewerShard: while one change follows another, a shard is often ahead of the index that was read. The next index comes in the watch
// that is under way: no new round, with its pause, is needed.
func TestSecretsWaitForTheIndexOfANewerShard(t *testing.T) {
	client := fake.NewSimpleDynamicClient(runtime.NewScheme())
	watcher := watch.NewFake()
	client.PrependWatchReactor("secrets", k8stesting.DefaultWatchReactor(watcher, nil))
	publish(t, client, encode(t, "okta"))
	newer, err := snapshot.Encode(snapshot.Snapshot{ServiceProvider: snapshot.ServiceProvider{Name: "main", URL: "https://sso.example.com"},
		Connections: []snapshot.Connection{{Name: "okta", EntityID: "https://sso.example.com/saml/okta"}}})
	if err != nil {
		t.Fatal(err)
	}
	shard := snapshot.ShardFile(snapshot.ShardOf("okta"))
	ahead := secret(snapshot.SecretName("main", shard), shard, newer.Files[shard])
	if _, err := client.Resource(secretResource).Namespace("sso").Update(t.Context(), ahead, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r := &record{revisions: make(chan string, 10)}
	s := NewSecrets(client, "sso", "main", quiet)
	done := make(chan error, 1)
	go func() { done <- s.round(t.Context(), r.apply) }()
	go watcher.Modify(secret(snapshot.SecretName("main", snapshot.IndexFile), snapshot.IndexFile, newer.Files[snapshot.IndexFile]))
	if got := r.next(t); got != newer.Revision || len(r.revisions) != 0 {
		t.Errorf("%s, want %s and nothing before it", got, newer.Revision)
	}
	watcher.Stop()
	if err := <-done; err != nil || !s.Live() {
		t.Errorf("%v, live %v", err, s.Live())
	}
}
