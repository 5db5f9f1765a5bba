package controllers

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// routeAgain is when it is looked again at an HTTPRoute. Its kind comes and goes with the Gateway API, so it is not watched as the rest of the workload is.
const routeAgain = time.Minute

// lookAtRoute has the workload applied again when somebody else has changed or deleted the HTTPRoute. Nil: there is to be none.
func (r *Reconciler) lookAtRoute(ctx context.Context, s *scope, route *unstructured.Unstructured) error {
	if route == nil {
		return nil
	}
	m := s.memory
	if next := m.routeSeen.Add(routeAgain); s.now.Before(next) {
		s.laterAt(next)
		return nil
	}
	now := &metav1.PartialObjectMetadata{}
	now.SetGroupVersionKind(route.GroupVersionKind())
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(route), now)
	if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return err
	}
	if err != nil || !m.ours(workloadKey(route.GetKind(), route.GetName()), now.ResourceVersion) {
		m.drift()
	}
	m.routeSeen = s.now
	s.laterAt(s.now.Add(routeAgain))
	return nil
}

// noGatewayAPI says what to do in a cluster that does not know the kind of an HTTPRoute.
func noGatewayAPI() error {
	return blocked(v1alpha1.ReasonInvalid, time.Minute, "spec.expose.httpRoute: the cluster has no Gateway API: install its CRDs, or use spec.expose.ingress.")
}
