package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/resolve"
	"sallyport.dev/sallyport/internal/tracing"
	"sallyport.dev/sallyport/internal/trust"
)

// What the Secret of a good copy holds: the copy, and the last value of the refresh annotation that was taken up.
const (
	copyKey    = "metadata.json"
	refreshKey = "refresh"
	// maxCopyBytes fits into a Secret. A copy that does not is fetched anew after a restart.
	maxCopyBytes = 900 << 10
)

func copySecretName(idp string) string { return "sallyport-metadata-" + idp }

// metadataChanged is called after every fetch.
func (r *Reconciler) metadataChanged(uid string) {
	if owner, ok := r.memory.ownerOf(uid); ok {
		if state, known := r.refresher.State(uid); known {
			r.gauges.refreshed(owner, refreshResult(state))
		}
		r.notify(owner.serviceProvider)
	}
}

// connection names the IdentityProvider whose metadata is fetched, for traces.
func (r *Reconciler) connection(uid string) []tracing.Attribute {
	owner, _ := r.memory.ownerOf(uid)
	return []tracing.Attribute{tracing.About("k8s.namespace.name", owner.serviceProvider.Namespace),
		tracing.About("sso.serviceprovider", owner.serviceProvider.Name), tracing.About("sso.idp", owner.name)}
}

// refreshResult says how the last fetch ended.
func refreshResult(state trust.State) string {
	switch {
	case state.Failure != nil:
		return "failed"
	case state.LastChanged.Equal(state.LastFetched):
		return "changed"
	}
	return "unchanged"
}

// fetched returns what is known of metadata that comes from a URL. It is fetched in the background: however long a server takes, it
// delays nobody.
func (r *Reconciler) fetched(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider, known *idpMemory) (*trustState, error) {
	key := string(idp.UID)
	var state trust.State
	if known.examined.problem == nil {
		wanted := known.examined.fetch
		wanted.InService = s.inService(idp)
		state = r.refresher.Ensure(key, wanted)
		if asked := idp.Annotations[v1alpha1.AnnotationRefresh]; asked != known.refreshed {
			known.refreshed, known.unsaved = asked, true
			r.refresher.RefreshNow(key)
		} else if known.failed != nil && !known.asked {
			r.refresher.RefreshNow(key)
		}
		known.asked = true
	} else {
		state, _ = r.refresher.State(key)
	}
	if state.Metadata != nil && !state.Kept.Equal(known.saved) {
		known.saved, known.unsaved = state.Kept, true
	}
	if known.unsaved && state.Metadata != nil && s.another(&s.firstCopy) {
		err := r.saveCopy(ctx, s, idp, known)
		// A Secret of that name that is somebody else's keeps us from nothing but keeping the copy.
		if _, taken := errors.AsType[*blockedError](err); err != nil && !taken {
			return nil, fmt.Errorf("keeping the metadata: %w", err)
		}
		known.unsaved = err != nil
	}
	t := describe(s, idp, known.examined.problem, state)
	if known.failed != nil && t.fresh.Status == metav1.ConditionTrue && !state.LastFetched.After(known.recalledAt) {
		t.fresh = *known.failed
	} else {
		known.failed = nil
	}
	return t, nil
}

// saveCopy keeps the good copy in a Secret, so that a restart of the operator, or of the IdP's server, changes nothing.
func (r *Reconciler) saveCopy(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider, known *idpMemory) error {
	data := map[string][]byte{copyKey: r.refresher.Saved(string(idp.UID))}
	if known.refreshed != "" {
		data[refreshKey] = []byte(known.refreshed)
	}
	if len(data[copyKey]) > maxCopyBytes {
		return nil
	}
	secret := ownedByIdP(s, idp, copySecretName(idp.Name), data)
	if known.restored {
		return r.applySecret(ctx, s, secret, ownerKeys)
	}
	err := r.createOrTakeBack(ctx, s, secret)
	known.restored = err == nil
	return err
}

// describe says in status terms what is trusted and how fresh it is.
func describe(s *scope, idp *v1alpha1.IdentityProvider, problem *resolve.Problem, state trust.State) *trustState {
	t := &trustState{source: v1alpha1.MetadataSourceURL, lastFetched: state.LastFetched, lastChanged: state.LastChanged, nextRefresh: state.NextRefresh}
	kept := ""
	if t.metadata = state.Trusted(s.now); t.metadata != nil {
		t.resolved.Trust = &t.metadata.Trust
		kept = fmt.Sprintf(" Serving the copy of %s.", state.LastChanged.UTC().Format(time.DateOnly))
	}
	validity, _ := state.Validity(s.now)
	s.laterAt(state.NextTransition(s.now))
	url := idp.Spec.SAML.Metadata.URL
	switch {
	case problem != nil:
		t.setFresh(metav1.ConditionFalse, problem.Reason, "%s%s", problem.Error(), kept)
	case state.Failure != nil && state.Failure.Kind == trust.KindEntityIDChanged:
		t.setFresh(metav1.ConditionFalse, v1alpha1.ReasonEntityIDChanged, "GET %s: %s", url, state.Failure.Sentence)
	case state.Failure != nil:
		t.setFresh(metav1.ConditionFalse, resolve.ReasonOf(state.Failure), "GET %s: %s%s The next attempt is at status.metadata.nextRefresh. Check spec.saml.metadata.url.", url, state.Failure.Sentence, kept)
	case validity == trust.ValidityExpired:
		t.setFresh(metav1.ConditionFalse, v1alpha1.ReasonMetadataExpired, "The metadata expired on %s, and the server has no newer version yet.", state.Metadata.ValidUntil.UTC().Format(time.DateOnly))
	case state.Metadata == nil:
		t.setFresh(metav1.ConditionUnknown, v1alpha1.ReasonFetching, "The metadata is being fetched for the first time.")
	case validity == trust.ValidityExpiring:
		t.setFresh(metav1.ConditionTrue, v1alpha1.ReasonMetadataExpiring, "The metadata is valid only until %s, and the server has no newer version yet.", state.Metadata.ValidUntil.UTC().Format(time.DateOnly))
	default:
		t.setFresh(metav1.ConditionTrue, v1alpha1.ReasonFresh, "The last refresh succeeded.")
	}
	if t.metadata == nil {
		t.missing(t.fresh.Reason, t.fresh.Message)
		t.keepPublished(s, idp)
	}
	return t
}
