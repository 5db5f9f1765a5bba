package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/render"
)

// adoptable tells whether an object of that name may be applied: it is ours, or there is none. Somebody else's object is never taken over:
// server-side apply with force would do it without a word.
func (r *Reconciler) adoptable(ctx context.Context, s *scope, kind schema.GroupVersionKind, name string) error {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: s.key.Namespace, Name: name}, object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	owner := metav1.GetControllerOf(object)
	switch {
	case owner == nil && kind.Kind == "PersistentVolumeClaim" && object.Labels[render.LabelInstance] == s.key.Name && object.Labels[render.LabelManagedBy] == render.ManagedBy:
		return nil // a volume outlives its ServiceProvider when it is to be retained
	case kind.Kind == "Secret" && s.restored(object):
		return nil
	case owner == nil || owner.Kind != v1alpha1.KindServiceProvider || owner.Name != s.key.Name:
		return blocked(v1alpha1.ReasonConflicted, time.Minute,
			"%s %s exists and does not belong to this ServiceProvider: delete or rename it, or give the ServiceProvider another name.", kind.Kind, name)
	case owner.UID != s.serviceProvider.UID:
		return fmt.Errorf("%s %s belongs to a former ServiceProvider of the same name and has not been garbage-collected yet", kind.Kind, name)
	}
	return nil
}
