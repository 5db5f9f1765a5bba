package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/resolve"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// trustState is what is known of the trust in one IdentityProvider in one pass.
type trustState struct {
	metadata *trust.Metadata // nil: there is none that may be trusted
	source   v1alpha1.MetadataSourceKind
	resolved compile.Resolved
	fresh    compile.Condition
	// Of metadata that comes from a URL.
	lastFetched, lastChanged, nextRefresh time.Time
}

func (t *trustState) setFresh(status metav1.ConditionStatus, reason, format string, args ...any) {
	t.fresh = compile.Condition{Type: v1alpha1.ConditionMetadataFresh, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// missing says that nothing may be trusted, and why.
func (t *trustState) missing(reason, message string) {
	t.metadata, t.resolved.Trust = nil, nil
	t.resolved.Reason, t.resolved.Message = reason, message
}

// keepPublished lets what the pods have go on being trusted until its validUntil, when there is nothing that may replace it.
func (t *trustState) keepPublished(s *scope, idp *v1alpha1.IdentityProvider) {
	before, ok := s.memory.published.connection(idp)
	if ok && before.Trust != nil && (before.Trust.ValidUntil.IsZero() || s.now.Before(before.Trust.ValidUntil)) {
		t.resolved.Trust = before.Trust
		s.laterAt(before.Trust.ValidUntil)
	}
}

// examined is what a spec and everything that it refers to come to.
type examined struct {
	basis   string
	at      time.Time
	problem *resolve.Problem
	// metadata that is in the cluster.
	metadata *trust.Metadata
	// fetch is how metadata is got from a URL.
	fetch trust.Spec
	// pair is the key pair that the user has brought, nil when keys are made; pairProblem is why it cannot be had.
	pair        *snapshot.SPKey
	pairProblem *resolve.Problem
}

// resolve finds out what is trusted of every IdentityProvider, and that each has keys of ours. Nothing here waits for another server than
// the API server.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	s.trust, s.resolved = map[string]*trustState{}, map[string]compile.Resolved{}
	if s.serviceProvider == nil {
		return nil
	}
	if err := r.resolveSinks(ctx, s); err != nil {
		return err
	}
	if err := r.resolveStore(ctx, s); err != nil {
		return fmt.Errorf("CA bundle of the store: %w", err)
	}
	if err := r.resolveHeaderKeys(ctx, s); err != nil {
		return fmt.Errorf("keys of the signed header: %w", err)
	}
	for i := range s.idps {
		idp := &s.idps[i]
		if !s.ownsIdP(idp) || s.unheld.Has(idp.UID) {
			continue
		}
		state, err := r.resolveOne(ctx, s, idp)
		if err != nil {
			return fmt.Errorf("IdentityProvider %s: %w", idp.Name, err)
		}
		s.trust[idp.Name] = state
	}
	// Those that lack nothing but a key of ours are first to get one.
	for _, established := range []bool{true, false} {
		if err := r.addAllKeys(ctx, s, established); err != nil {
			return err
		}
	}
	return nil
}

// addAllKeys adds our own keys to those connections that have none yet in this pass: of which there is trust, or all.
func (r *Reconciler) addAllKeys(ctx context.Context, s *scope, established bool) error {
	for i := range s.idps {
		idp := &s.idps[i]
		state := s.trust[idp.Name]
		if _, done := s.resolved[idp.Name]; done || state == nil || established && state.metadata == nil {
			continue
		}
		if err := r.addKeys(ctx, s, idp, state); err != nil {
			return fmt.Errorf("keys of IdentityProvider %s: %w", idp.Name, err)
		}
		s.resolved[idp.Name] = state.resolved
	}
	return nil
}

// resolveOne returns the trust in one IdentityProvider. An error means that the API server could not answer; what the user has to
// mend is in the state.
func (r *Reconciler) resolveOne(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider) (*trustState, error) {
	known := s.memory.idp(idp.UID)
	basis, err := r.basisOf(ctx, idp, resolve.OfIdentityProvider(idp))
	if err != nil {
		return nil, err
	}
	if known.examined == nil || known.examined.basis != basis {
		x := &examined{basis: basis, at: s.now}
		x.metadata, x.fetch, err = resolve.Metadata(ctx, referred{r, s}, idp.Spec.SAML.Metadata, trust.ParseOptions{Now: x.at})
		if err != nil && !errors.As(err, &x.problem) {
			return nil, err
		}
		x.pair, err = resolve.KeyPair(ctx, referred{r, s}, idp)
		if err != nil && !errors.As(err, &x.pairProblem) {
			return nil, err
		}
		known.examined = x
	}
	if idp.Spec.SAML.Metadata.URL != "" {
		return r.fetched(ctx, s, idp, known)
	}
	r.refresher.Forget(string(idp.UID))
	return given(s, idp, known.examined), nil
}

// given is the trust in an IdentityProvider whose metadata is in the cluster. When what is there cannot be used, the last good form goes on
// being trusted.
func given(s *scope, idp *v1alpha1.IdentityProvider, x *examined) *trustState {
	state := &trustState{source: sourceOf(idp)}
	state.setFresh(metav1.ConditionTrue, v1alpha1.ReasonNotRefreshed, "The metadata is not from a URL: there is nothing to refresh.")
	problem := x.problem
	if problem == nil {
		problem = entityIDChanged(s, idp, x.metadata)
	}
	if problem != nil {
		state.setFresh(metav1.ConditionFalse, problem.Reason, "%s", problem.Error())
		state.missing(problem.Reason, problem.Error())
		state.resolved.Refuse(problem.Reason, problem.Error())
		state.keepPublished(s, idp)
		return state
	}
	validity, until := x.metadata.ValidityAt(x.at, s.now)
	s.laterAt(until)
	state.metadata, state.resolved.Trust = x.metadata, &x.metadata.Trust
	switch day := x.metadata.ValidUntil.UTC().Format(time.DateOnly); validity {
	case trust.ValidityExpired:
		state.setFresh(metav1.ConditionFalse, v1alpha1.ReasonMetadataExpired, "spec.saml.metadata: the metadata expired on %s: put newer metadata there.", day)
		state.missing(v1alpha1.ReasonMetadataExpired, state.fresh.Message)
	case trust.ValidityExpiring:
		state.setFresh(metav1.ConditionTrue, v1alpha1.ReasonMetadataExpiring, "spec.saml.metadata: the metadata is valid only until %s: put newer metadata there before then.", day)
	}
	return state
}

// inService is the entity ID that an IdentityProvider has been trusted with, empty when it never was. It is kept in what is published and in status, so that
// no restart forgets it.
func (s *scope) inService(idp *v1alpha1.IdentityProvider) string {
	if c, ok := s.memory.published.connection(idp); ok && c.Trust != nil {
		return c.Trust.EntityID
	}
	return idp.Status.EntityID
}

// entityIDChanged is what is wrong with metadata of another entity than the one in service, unless that one is pinned: people are known by the entity ID and
// their NameID, so another entity would speak for them. Who writes manual.entityID has pinned it with that.
func entityIDChanged(s *scope, idp *v1alpha1.IdentityProvider, metadata *trust.Metadata) *resolve.Problem {
	source := idp.Spec.SAML.Metadata
	err := trust.CheckEntityID(s.inService(idp), metadata, string(source.EntityID))
	if err == nil || source.Manual != nil {
		return nil
	}
	return resolve.OfMetadata(source, err)
}

func sourceOf(idp *v1alpha1.IdentityProvider) v1alpha1.MetadataSourceKind {
	switch source := idp.Spec.SAML.Metadata; {
	case source.URL != "":
		return v1alpha1.MetadataSourceURL
	case source.FromConfigMap != nil:
		return v1alpha1.MetadataSourceConfigMap
	case source.FromSecret != nil:
		return v1alpha1.MetadataSourceSecret
	case source.Manual != nil:
		return v1alpha1.MetadataSourceManual
	}
	return v1alpha1.MetadataSourceInline
}

// addKeys puts our own keys into the state. Without a key there is nothing to sign requests with, so nothing is trusted yet either.
func (r *Reconciler) addKeys(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider, state *trustState) error {
	keys, err := r.keys(ctx, s, idp)
	if problem, ok := errors.AsType[*blockedError](err); ok {
		s.later(problem.retry)
		state.resolved.Refuse(problem.reason, problem.message)
		if before, ok := s.memory.published.connection(idp); ok && len(before.Keys) > 0 {
			state.resolved.Keys = before.Keys // the last good ones go on being used
			return nil
		}
		state.missing(problem.reason, problem.message)
		return nil
	}
	if err != nil {
		return err
	}
	if state.resolved.Keys = keys; len(keys) == 0 && state.resolved.Trust != nil {
		state.resolved.Trust = nil
		state.resolved.Reason, state.resolved.Message = v1alpha1.ReasonPending, "The SP key for this connection is being created."
	}
	return nil
}
