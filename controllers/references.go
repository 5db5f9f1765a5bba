package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/internal/resolve"
)

// basisOf names the spec and the versions of everything that it refers to: what was made of them stays good while it stays the same.
// The versions come from a cache of metadata, so that a pass reads no contents unless they have changed.
func (r *Reconciler) basisOf(ctx context.Context, of client.Object, references []resolve.Reference) (string, error) {
	var basis strings.Builder
	fmt.Fprintf(&basis, "%d", of.GetGeneration())
	for _, ref := range references {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(ref.Kind))
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: of.GetNamespace(), Name: ref.Name}, object)
		if client.IgnoreNotFound(err) != nil {
			return "", err
		}
		fmt.Fprintf(&basis, " %s/%s@%s", ref.Kind, ref.Name, object.ResourceVersion)
	}
	return basis.String(), nil
}

// referred are the ConfigMaps and Secrets of the namespace, past the cache and each read once in a pass: a thousand connections may name one ConfigMap of
// authorities.
type referred struct {
	r *Reconciler
	s *scope
}

// Contents implements resolve.Source.
func (f referred) Contents(ctx context.Context, kind, name string) (map[string][]byte, error) {
	id := kind + "/" + name
	if data, known := f.s.contents[id]; known {
		return data, nil
	}
	data, err := f.r.contentsOf(ctx, kind, types.NamespacedName{Namespace: f.s.key.Namespace, Name: name})
	if apierrors.IsNotFound(err) {
		return nil, resolve.ErrAbsent
	}
	if err == nil {
		f.s.contents[id] = data
	}
	return data, err
}

func (r *Reconciler) contentsOf(ctx context.Context, kind string, name types.NamespacedName) (map[string][]byte, error) {
	if kind == "Secret" {
		var secret corev1.Secret
		err := r.Live.Get(ctx, name, &secret)
		return secret.Data, err
	}
	var configMap corev1.ConfigMap
	err := r.Live.Get(ctx, name, &configMap)
	return resolve.ConfigMapContents(&configMap), err
}
