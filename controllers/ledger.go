package controllers

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/render"
)

// ledger is what the audit log was told to exist around one ServiceProvider. It is kept in a Secret in the operator's own namespace, so that
// what is deleted while the operator is down, or with its whole namespace, is told all the same.
type ledger struct {
	Namespace       string `json:"namespace"`
	ServiceProvider string `json:"serviceProvider"`
	// Entries by UID.
	Entries map[types.UID]ledgerEntry `json:"entries"`
	// Records wait for a pod that takes them into the audit log.
	Records []audit.Incoming `json:"records,omitempty"`
	// Ahead are settings that were told of and may not be published yet, and Statuses those statuses that may not be written yet: see told.go.
	Ahead    map[types.UID]settings   `json:"ahead,omitempty"`
	Statuses map[types.UID]toldStatus `json:"statuses,omitempty"`
	// Keys are the names of the keys in those Secrets whose loss is told, by the name of the Secret: see knownkeys.go.
	Keys map[string][]string `json:"keys,omitempty"`

	exists, dirty bool
	// unsaved is true while records are only in memory.
	unsaved bool
}

// ledgerEntry is one object, with those settings of it whose change has a record of its own.
type ledgerEntry struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Generation is the newest that was told of.
	Generation int64 `json:"generation,omitempty"`

	Disabled bool `json:"disabled,omitempty"`
	Verbose  bool `json:"verbose,omitempty"`
	// Scrub is what is to become of mirrored values when the object is gone.
	Scrub bool `json:"scrub,omitempty"`
	// Domain and IdentityProvider of a DomainBinding; IdentityProvider of an AttributeMapping.
	Domain           string `json:"domain,omitempty"`
	IdentityProvider string `json:"identityProvider,omitempty"`
}

func (l *ledger) set(uid types.UID, entry ledgerEntry) {
	if known, ok := l.Entries[uid]; !ok || known != entry {
		l.Entries[uid], l.dirty = entry, true
	}
}

func (l *ledger) remove(uid types.UID) {
	if _, ok := l.Entries[uid]; ok {
		delete(l.Entries, uid)
		l.dirty = true
	}
	l.written(uid)
	delete(l.Ahead, uid)
}

const (
	ledgerKey       = "ledger.json.gz"
	ledgerComponent = "ledger"
	maxLedgerBytes  = 64 << 20
	// ledgerLevel packs in half the time of gzip's own choice, into 3 % more: people wait while it is written.
	ledgerLevel = 2
)

func ledgerLabels() map[string]string {
	return map[string]string{render.LabelManagedBy: render.ManagedBy, render.LabelComponent: ledgerComponent}
}

// ledgerName is a hash because a namespace and a name together may be too long.
func ledgerName(key types.NamespacedName) string {
	sum := sha256.Sum256([]byte(key.String()))
	return "sallyport-ledger-" + hex.EncodeToString(sum[:10])
}

func (r *Reconciler) readLedger(ctx context.Context, key types.NamespacedName) (*ledger, error) {
	empty := newLedger(key)
	var secret corev1.Secret
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: r.Options.Namespace, Name: ledgerName(key)}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if err != nil {
		return empty, nil
	}
	l, err := decodeLedger(secret.Data[ledgerKey])
	if err != nil {
		// Signing people in matters more: what exists is told again, with the keys that it was told with before.
		ctrl.LoggerFrom(ctx).Error(err, "the ledger cannot be read; starting a new one", "secret", secret.Name, "namespace", r.Options.Namespace)
		return empty, nil
	}
	l.exists = true
	return l, nil
}

func decodeLedger(data []byte) (*ledger, error) {
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	l := newLedger(types.NamespacedName{})
	if err := json.NewDecoder(io.LimitReader(reader, maxLedgerBytes)).Decode(l); err != nil {
		return nil, err
	}
	return l, nil
}

func newLedger(key types.NamespacedName) *ledger {
	return &ledger{Namespace: key.Namespace, ServiceProvider: key.Name, Entries: map[types.UID]ledgerEntry{}, Ahead: map[types.UID]settings{}, Statuses: map[types.UID]toldStatus{},
		Keys: map[string][]string{}}
}

func (l *ledger) encode() ([]byte, error) {
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, ledgerLevel)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(writer).Encode(l); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// settleLedger keeps what was told in this pass. A crash before it tells the same again, with the same keys.
func (r *Reconciler) settleLedger(ctx context.Context, s *scope) error {
	l := s.memory.ledger
	if l.dirty && s.leavesRecords() {
		return nil
	}
	if l.dirty {
		if err := r.writeLedger(ctx, s.key, l); err != nil {
			return fmt.Errorf("keeping what was told: %w", err)
		}
		l.dirty, l.unsaved = false, false
	}
	if !s.left {
		clear(s.memory.told) // everything is persisted now
	}
	if s.serviceProvider == nil && len(l.Entries) == 0 && len(l.Records) == 0 {
		r.memory.forget(s.key)
	}
	return nil
}

func (r *Reconciler) writeLedger(ctx context.Context, key types.NamespacedName, l *ledger) error {
	name := ledgerName(key)
	if len(l.Entries) == 0 && len(l.Records) == 0 {
		l.exists = false
		return client.IgnoreNotFound(r.Client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.Options.Namespace, Name: name}}))
	}
	content, err := l.encode()
	if err == nil && len(content) > maxLedgerContent && len(l.Ahead)+len(l.Statuses) > 0 {
		// Better a record that comes twice after a crash than one that does not come.
		clear(l.Ahead)
		clear(l.Statuses)
		content, err = l.encode()
	}
	for err == nil && len(content) > maxLedgerContent && len(l.Records) > 0 {
		given := (len(l.Records) + 3) / 4
		ctrl.LoggerFrom(ctx).Error(nil, "audit records that no pod has taken are given up; standard output has them", "records", given)
		l.Records = l.Records[given:]
		content, err = l.encode()
	}
	if err != nil {
		return err
	}
	secret := coreac.Secret(name, r.Options.Namespace).WithLabels(ledgerLabels()).WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{ledgerKey: content})
	if err := r.Client.Apply(ctx, secret, client.FieldOwner(ownerLedger), client.ForceOwnership); err != nil {
		return err
	}
	l.exists = true
	return nil
}

// openLedgers asks for a pass over every ServiceProvider that there is a ledger of: what was deleted while the operator was down is found out so. What is in a namespace that
// it works in no more waits for an operator that does.
func (r *Reconciler) openLedgers(ctx context.Context) error {
	var secrets corev1.SecretList
	if err := r.Live.List(ctx, &secrets, client.InNamespace(r.Options.Namespace), client.MatchingLabels(ledgerLabels())); err != nil {
		return err
	}
	for i := range secrets.Items {
		if l, err := decodeLedger(secrets.Items[i].Data[ledgerKey]); err == nil && r.Options.worksIn(l.Namespace) {
			r.notify(types.NamespacedName{Namespace: l.Namespace, Name: l.ServiceProvider})
		}
	}
	return nil
}

// gone are the entries whose objects are not there any more. Statuses of such objects will not be written.
func (l *ledger) gone(there map[types.UID]bool) map[types.UID]ledgerEntry {
	for uid := range l.Statuses {
		if !there[uid] {
			l.written(uid)
		}
	}
	gone := map[types.UID]ledgerEntry{}
	for uid, entry := range l.Entries {
		if !there[uid] {
			gone[uid] = entry
		}
	}
	return gone
}

// there are the objects of the namespace that exist.
func (s *scope) there() map[types.UID]bool {
	there := make(map[types.UID]bool, len(s.idps)+len(s.bindings)+len(s.mappings)+1)
	if s.serviceProvider != nil {
		there[s.serviceProvider.UID] = true
	}
	for i := range s.idps {
		there[s.idps[i].UID] = true
	}
	for i := range s.bindings {
		there[s.bindings[i].UID] = true
	}
	for i := range s.mappings {
		there[s.mappings[i].UID] = true
	}
	return there
}
