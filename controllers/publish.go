package controllers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
)

// served is a snapshot with its connections and domains at hand.
type served struct {
	snapshot    *snapshot.Snapshot
	connections map[string]int
	domains     map[string]int // by the name of the binding
}

func index(s *snapshot.Snapshot) *served {
	i := &served{snapshot: s, connections: make(map[string]int, len(s.Connections)), domains: make(map[string]int, len(s.Domains))}
	for n := range s.Connections {
		i.connections[s.Connections[n].Name] = n
	}
	for n := range s.Domains {
		i.domains[s.Domains[n].Binding] = n
	}
	return i
}

// connection returns the connection of an IdentityProvider, not of a former one of the same name.
func (s *served) connection(idp *v1alpha1.IdentityProvider) (*snapshot.Connection, bool) {
	if s == nil || s.snapshot == nil {
		return nil, false
	}
	n, ok := s.connections[idp.Name]
	if !ok || s.snapshot.Connections[n].UID != string(idp.UID) {
		return nil, false
	}
	return &s.snapshot.Connections[n], true
}

// headerKeys are those of the signed header, none where there is no such header.
func (s *served) headerKeys() []snapshot.SPKey {
	if s == nil || s.snapshot == nil || s.snapshot.ServiceProvider.SignedHeader == nil {
		return nil
	}
	return s.snapshot.ServiceProvider.SignedHeader.Keys
}

// hasConnection tells whether there is a connection of the IdentityProvider of that UID.
func (s *served) hasConnection(uid types.UID) bool {
	return s != nil && s.snapshot != nil && slices.ContainsFunc(s.snapshot.Connections, func(c snapshot.Connection) bool { return c.UID == string(uid) })
}

func (s *served) domain(binding string, uid types.UID) (*snapshot.Domain, bool) {
	if s == nil || s.snapshot == nil {
		return nil, false
	}
	n, ok := s.domains[binding]
	if !ok || s.snapshot.Domains[n].UID != string(uid) {
		return nil, false
	}
	return &s.snapshot.Domains[n], true
}

// published is what the pods of one ServiceProvider can read now.
type published struct {
	*served
	encoded *snapshot.Encoded
	files   map[string][]byte
}

// recent is a revision that pods may still say they serve.
type recent struct {
	revision string
	*served
}

// maxRecent is how many there are. While one change follows another, pods are a revision or two behind all the time.
const maxRecent = 4

func (m *memory) remember(revision string, s *served) {
	m.recent = slices.DeleteFunc(m.recent, func(old recent) bool { return old.revision == revision })
	m.recent = append(m.recent, recent{revision, s})
	m.recent = m.recent[max(0, len(m.recent)-maxRecent):]
}

// compile makes the snapshot, and what is to be said about each object.
func (r *Reconciler) compile(_ context.Context, s *scope) error {
	before := s.memory.published
	in := compile.Input{Name: s.key.Name, ServiceProvider: s.serviceProvider, IdentityProviders: s.idps, DomainBindings: s.bindings,
		AttributeMappings: s.mappings, Resolved: s.resolved, Verified: s.verified, Sinks: s.memory.sinks.resolved, Store: s.memory.store.resolved, HeaderKeys: s.headerKeys, Checks: &s.memory.checks}
	if before.served != nil {
		in.Previous = before.snapshot
	}
	s.before = before.served
	s.output = compile.Compile(in)
	if s.output.Snapshot == nil {
		return nil
	}
	encoded, err := s.output.Encode(before.encoded)
	s.wanted = index(s.output.Snapshot)
	if tooLarge, ok := errors.AsType[*snapshot.TooLargeError](err); ok {
		return blocked(v1alpha1.ReasonSnapshotTooLarge, 10*time.Minute, "The snapshot is too large: %v. The last good snapshot stays in service.", tooLarge)
	}
	s.encoded = encoded
	return err
}

// publish writes the shards that changed and then the index that names them, so that a reader never mixes two revisions: a crash in
// between leaves the pods on the old one. Shards that are not used any more go last.
func (r *Reconciler) publish(ctx context.Context, s *scope) error {
	if s.serviceProvider == nil || s.encoded == nil {
		return nil
	}
	m := s.memory
	shards, writers := errgroup.WithContext(ctx)
	shards.SetLimit(parallelWrites)
	for _, file := range snapshot.FileNames() {
		content, used := s.encoded.Files[file]
		if !used || file == snapshot.IndexFile || bytes.Equal(content, m.published.files[file]) {
			continue
		}
		m.published.files[file] = nil // until every file is written nobody knows what is in it
		shards.Go(func() error { return r.publishFile(writers, s, file, content) })
	}
	if err := shards.Wait(); err != nil {
		return err
	}
	if content := s.encoded.Files[snapshot.IndexFile]; !bytes.Equal(content, m.published.files[snapshot.IndexFile]) {
		m.published.files[snapshot.IndexFile] = nil
		if err := r.publishFile(ctx, s, snapshot.IndexFile, content); err != nil {
			return err
		}
		s.publishedNow = true
		m.spreading = earliest(m.spreading, cmp.Or(s.heard, s.now))
		s.heard = time.Time{}
	}
	for file := range m.published.files {
		if _, used := s.encoded.Files[file]; used {
			continue
		}
		gone := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.key.Namespace, Name: snapshot.SecretName(s.key.Name, file)}}
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, gone)); err != nil {
			return err
		}
	}
	files := map[string][]byte{}
	for file, content := range s.encoded.Files {
		files[file] = content
	}
	m.published = &published{served: s.wanted, encoded: s.encoded, files: files}
	m.remember(s.encoded.Revision, s.wanted)
	m.ledger.published()
	return nil
}

func (r *Reconciler) publishFile(ctx context.Context, s *scope, file string, content []byte) error {
	name := snapshot.SecretName(s.key.Name, file)
	secret := ownedByServiceProvider(s, name, map[string][]byte{file: content})
	if !s.memory.known(name) {
		if err := r.adoptable(ctx, s, corev1.SchemeGroupVersion.WithKind("Secret"), name); err != nil {
			return err
		}
	}
	if err := r.applySecret(ctx, s, secret, ownerSnapshot); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
