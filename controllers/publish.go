package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/snapshot"
)

// published is what the pods of one ServiceProvider can read now.
type published struct {
	snapshot snapshot.Snapshot
	encoded  *snapshot.Encoded
	files    map[string][]byte
}

// readPublished finds out what an earlier run of the operator has published, so that the last good form of a broken object goes on being served.
func (r *Reconciler) readPublished(ctx context.Context, key types.NamespacedName) (*published, error) {
	files := map[string][]byte{}
	for _, file := range snapshot.FileNames() {
		var secret corev1.Secret
		err := r.Live.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: snapshot.SecretName(key.Name, file)}, &secret)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[file] = secret.Data[file]
	}
	p := &published{files: files}
	decoded, _, err := snapshot.FromFiles(files)
	var incomplete *snapshot.IncompleteError
	if err != nil && !errors.As(err, &incomplete) {
		return nil, fmt.Errorf("reading the published snapshot: %w", err)
	}
	if err == nil {
		p.snapshot = decoded
		if p.encoded, err = snapshot.Encode(decoded); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// publish writes the shards that changed and then the index that names them, so that a reader never mixes two revisions: a crash in
// between leaves the pods on the old one. Shards that are not used any more go last.
func (r *Reconciler) publish(ctx context.Context, s *scope) error {
	if s.serviceProvider == nil || s.encoded == nil {
		return nil
	}
	for _, file := range snapshot.FileNames() {
		content, used := s.encoded.Files[file]
		if !used || slices.Equal(content, s.previous.files[file]) {
			continue
		}
		secret := coreac.Secret(snapshot.SecretName(s.key.Name, file), s.key.Namespace).
			WithLabels(render.Labels(s.key.Name)).
			WithOwnerReferences(render.Owner(s.serviceProvider)).
			WithType(corev1.SecretTypeOpaque).
			WithData(map[string][]byte{file: content})
		if err := r.Client.Apply(ctx, secret, client.FieldOwner(ownerSnapshot), client.ForceOwnership); err != nil {
			return fmt.Errorf("writing %s: %w", *secret.Name, err)
		}
	}
	for file := range s.previous.files {
		if _, used := s.encoded.Files[file]; used {
			continue
		}
		gone := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.key.Namespace, Name: snapshot.SecretName(s.key.Name, file)}}
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, gone)); err != nil {
			return err
		}
	}
	r.setPublished(s.key, &published{snapshot: *s.output.Snapshot, encoded: s.encoded, files: s.encoded.Files})
	return nil
}
