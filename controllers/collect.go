package controllers

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// collect reads every object of the namespace from the cache.
func (r *Reconciler) collect(ctx context.Context, s *scope) error {
	if s.key.Name != "" {
		var sp v1alpha1.ServiceProvider
		switch err := r.Client.Get(ctx, s.key, &sp); {
		case err == nil && sp.DeletionTimestamp == nil:
			s.serviceProvider = &sp
		case err != nil && !apierrors.IsNotFound(err):
			return err
		}
	}
	var (
		idps     v1alpha1.IdentityProviderList
		bindings v1alpha1.DomainBindingList
		mappings v1alpha1.AttributeMappingList
	)
	for _, list := range []client.ObjectList{&idps, &bindings, &mappings} {
		// Copying thousands of objects in every pass would cost more than all the rest of it.
		if err := r.Client.List(ctx, list, client.InNamespace(s.key.Namespace), client.UnsafeDisableDeepCopy); err != nil {
			return err
		}
	}
	s.idps, s.bindings, s.mappings = idps.Items, bindings.Items, mappings.Items
	var sps v1alpha1.ServiceProviderList
	if err := r.Client.List(ctx, &sps, client.InNamespace(s.key.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	for i := range sps.Items {
		sp := &sps.Items[i]
		s.follows = s.follows || sp.DeletionTimestamp == nil && sp.Name != s.key.Name && (s.serviceProvider == nil || sp.Name < s.key.Name)
	}
	s.catchUp()
	r.letGo(s)
	return nil
}

// catchUp puts the statuses that we have written in place of older ones in the cache, so that no pass takes for news what another one has
// just told.
func (s *scope) catchUp() {
	if sp := s.serviceProvider; sp != nil {
		catchUp(s.memory, sp, &sp.Status)
	}
	for i := range s.idps {
		catchUpFinalizers(s.memory, &s.idps[i])
		catchUp(s.memory, &s.idps[i], &s.idps[i].Status)
	}
	for i := range s.bindings {
		catchUp(s.memory, &s.bindings[i], &s.bindings[i].Status)
	}
	for i := range s.mappings {
		catchUp(s.memory, &s.mappings[i], &s.mappings[i].Status)
	}
}

// catchUpFinalizers does the same for the finalizers, so that no binding becomes Ready on the strength of a finalizer that was just taken off.
func catchUpFinalizers(m *memory, idp *v1alpha1.IdentityProvider) {
	written, ok := m.finalizers[idp.UID]
	if !ok {
		return
	}
	if order, err := resourceversion.CompareResourceVersion(idp.ResourceVersion, written.version); err == nil && order < 0 {
		idp.Finalizers = written.names
		return
	}
	delete(m.finalizers, idp.UID)
}

func catchUp[S any](m *memory, object client.Object, status *S) {
	written, ok := m.written[object.GetUID()]
	if !ok {
		return
	}
	if order, err := resourceversion.CompareResourceVersion(object.GetResourceVersion(), written.version); err == nil && order < 0 {
		*status = written.status.(S)
		object.SetResourceVersion(written.version)
		return
	}
	delete(m.written, object.GetUID())
}

// letGo forgets what was remembered of IdentityProviders that are gone.
func (r *Reconciler) letGo(s *scope) {
	there := sets.New[types.UID]()
	for i := range s.idps {
		if s.serviceProvider != nil && s.ownsIdP(&s.idps[i]) {
			there.Insert(s.idps[i].UID)
			r.memory.setOwner(&s.idps[i], s.key)
		}
	}
	for uid := range s.memory.idps {
		if !there.Has(uid) {
			delete(s.memory.idps, uid)
			delete(s.memory.finalizers, uid)
			if owner, known := r.memory.ownerOf(string(uid)); known {
				r.gauges.forgetIdP(owner)
			}
			r.memory.forgetOwner(uid)
			r.refresher.Forget(string(uid))
		}
	}
	if s.serviceProvider == nil {
		// One of the same name starts from what is published then.
		s.memory.reset()
		r.acks.forget(s.key)
		r.counting.forget(s.key)
		r.refusals.follow(s.key, nil, "")
	}
}

func (s *scope) ownsIdP(idp *v1alpha1.IdentityProvider) bool {
	return string(idp.Spec.ServiceProviderRef.Name) == s.key.Name
}

// recall reads once what an earlier run of the operator has left in Secrets: the published snapshot, our keys, good copies of metadata, and
// what the audit log was told.
func (r *Reconciler) recall(ctx context.Context, s *scope) error {
	m := s.memory
	if m.ledger == nil {
		l, err := r.readLedger(ctx, s.key)
		if err != nil {
			return err
		}
		m.ledger = l
	}
	if m.recalled || s.serviceProvider == nil {
		return nil
	}
	var secrets corev1.SecretList
	if err := r.Live.List(ctx, &secrets, client.InNamespace(s.key.Namespace), client.MatchingLabels(render.Labels(s.key.Name))); err != nil {
		return err
	}
	files, idps, keys := map[string][]byte{}, map[types.UID]*v1alpha1.IdentityProvider{}, map[string]*v1alpha1.IdentityProvider{}
	for i := range s.idps {
		if s.ownsIdP(&s.idps[i]) {
			idps[s.idps[i].UID], keys[keysSecretName(s.idps[i].Name)] = &s.idps[i], &s.idps[i]
		}
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		owner := metav1.GetControllerOf(secret)
		if owner == nil {
			if idp := keys[secret.Name]; idp != nil {
				r.recallRestored(s, idp, secret)
			}
			continue
		}
		if owner.UID == s.serviceProvider.UID {
			if file, ok := snapshotFile(s.key.Name, secret.Name); ok {
				files[file] = secret.Data[file]
			}
			if secret.Name == render.HeaderSecretName(s.key.Name) {
				m.header.mendKeys(secret, true)
			}
			m.wrote(secret.Name, &secret.ResourceVersion)
			continue
		}
		// One of a former IdentityProvider of the same name is nobody's: it waits for the garbage collector.
		if idp := idps[owner.UID]; idp != nil {
			r.recallOf(s, idp, secret)
			m.wrote(secret.Name, &secret.ResourceVersion)
		}
	}
	if err := m.recallPublished(s, files); err != nil {
		return err
	}
	m.recalled = true
	return nil
}

// recallRestored takes the keys of a connection that came back from a backup: an owner would have been one of the old cluster, so they have none. They are written
// again, with the owner of today.
func (r *Reconciler) recallRestored(s *scope, idp *v1alpha1.IdentityProvider, secret *corev1.Secret) {
	r.recallOf(s, idp, secret)
	s.memory.idp(idp.UID).keysLost = true
	s.memory.wrote(secret.Name, &secret.ResourceVersion)
}

// recallOf takes the keys or the good copy of one connection.
func (r *Reconciler) recallOf(s *scope, idp *v1alpha1.IdentityProvider, secret *corev1.Secret) {
	known := s.memory.idp(idp.UID)
	switch secret.Name {
	case keysSecretName(idp.Name):
		set, err := trust.KeySetFromData(secret.Data)
		if err == nil && len(set.Keys) == 0 {
			err = errors.New("it has no key")
		}
		known.keys, known.keysProblem = set, ""
		if err != nil {
			// Partners know the certificates: they must never be written over.
			known.keysProblem = fmt.Sprintf("The keys in Secret %s cannot be used: %v. Restore it, or delete it and register the new certificate at the IdP.", secret.Name, err)
		}
	case copySecretName(idp.Name):
		// A copy that cannot be read is fetched anew; so is one from before trust came from elsewhere.
		if shown := idp.Status.Metadata; shown == nil || shown.Source == v1alpha1.MetadataSourceURL {
			_ = r.refresher.Restore(string(idp.UID), secret.Data[copyKey])
		}
		if state, ok := r.refresher.State(string(idp.UID)); ok {
			known.saved = state.Kept
		}
		known.restored, known.refreshed, known.recalledAt = true, string(secret.Data[refreshKey]), s.now
		if before := meta.FindStatusCondition(idp.Status.Conditions, v1alpha1.ConditionMetadataFresh); before != nil && before.Status == metav1.ConditionFalse {
			known.failed = &compile.Condition{Type: before.Type, Status: before.Status, Reason: before.Reason, Message: before.Message}
		}
	}
}

// recallPublished makes of the files of an earlier run what is published, so that the last good form of a broken object goes on being served.
func (m *memory) recallPublished(s *scope, files map[string][]byte) error {
	m.published = &published{files: files}
	decoded, revision, err := snapshot.FromFiles(files)
	if _, incomplete := errors.AsType[*snapshot.IncompleteError](err); incomplete {
		// A run that died between a shard and the index. What it has left is nothing to serve, but it is the last good form of everything.
		if recovered, err := snapshot.Recover(files); err == nil {
			m.published.served = index(&recovered)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the published snapshot: %w", err)
	}
	encoded, err := snapshot.Encode(decoded)
	if err != nil {
		return err
	}
	m.published.encoded, m.published.served = encoded, index(&decoded)
	// What every pod had acknowledged then still holds.
	if s.serviceProvider.Status.ProgrammedRevision == revision {
		m.served = m.published.served
	}
	return nil
}

// snapshotFile returns which file of a snapshot the Secret of that name holds.
func snapshotFile(serviceProvider, secret string) (string, bool) {
	for _, file := range snapshot.FileNames() {
		if snapshot.SecretName(serviceProvider, file) == secret {
			return file, true
		}
	}
	return "", false
}

// mend looks at those of our Secrets that somebody else has changed or deleted, so that this pass writes them again.
func (r *Reconciler) mend(ctx context.Context, s *scope) error {
	m := s.memory
	if s.serviceProvider == nil {
		return nil
	}
	for _, name := range m.takeSuspects() {
		var secret corev1.Secret
		err := r.Live.Get(ctx, types.NamespacedName{Namespace: s.key.Namespace, Name: name}, &secret)
		if client.IgnoreNotFound(err) != nil {
			m.suspect(name)
			return err
		}
		if file, ok := snapshotFile(s.key.Name, name); ok {
			if content := secret.Data[file]; string(content) != string(m.published.files[file]) {
				m.published.files[file] = nil
			}
			continue
		}
		switch name {
		case render.ManagementSecretName(s.key.Name):
			m.token = ""
			continue
		case render.HeaderSecretName(s.key.Name):
			m.header.mendKeys(&secret, err == nil)
			continue
		}
		for i := range s.idps {
			idp := &s.idps[i]
			if !s.ownsIdP(idp) {
				continue
			}
			switch known := m.idp(idp.UID); name {
			case keysSecretName(idp.Name):
				known.mendKeys(&secret, err == nil)
			case copySecretName(idp.Name):
				known.restored, known.unsaved = err == nil, true
			}
		}
	}
	return nil
}
