package controllers

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
)

// olderKindsRetry is how long a status waits that the kinds in the cluster have no room for.
const olderKindsRetry = 30 * time.Second

// fromOlderKinds tells whether the API server does not know a field that we apply: the operator was upgraded, and the kinds were not. It has no other sign for it than the words.
func fromOlderKinds(err error) bool {
	return err != nil && strings.Contains(err.Error(), "field not declared in schema")
}

// askForNewerKinds says so where a person looks. Everything else goes on: the pods serve what is published, and the status is written once the kinds have room for it.
func (r *Reconciler) askForNewerKinds(ctx context.Context, s *scope, o change, err error) {
	ctrl.LoggerFrom(ctx).Error(err, "the CRDs in the cluster are older than the operator: apply the CRDs of its release", "kind", o.kind, "name", o.object.GetName())
	r.Events.Eventf(o.object, nil, corev1.EventTypeWarning, "KindsOutdated", "WriteStatus",
		"The CRDs in the cluster are older than the operator, so this status cannot be written: apply the CRDs of the operator's release. Sign-in keeps working meanwhile.")
	s.later(olderKindsRetry)
}
