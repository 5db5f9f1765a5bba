package controllers

import (
	"context"
	"errors"
	"time"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

func keysSecretName(idp string) string { return "sallyport-keys-" + idp }

// errNoKeyYet says that the pool of keys is empty for the moment.
var errNoKeyYet = errors.New("the key is being created")

// keys takes the keys of a connection one step further in their life, and returns those to serve; none while the first is being made.
// Each step is written before anything uses it, so that a crash at any point leaves keys that the next pass goes on from. The Secret
// goes with the IdentityProvider, so the keys are the last thing of it to go.
func (r *Reconciler) keys(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider) ([]snapshot.SPKey, error) {
	known := s.memory.idp(idp.UID)
	if known.keysProblem != "" {
		return nil, blocked(v1alpha1.ReasonInvalidCertificate, time.Minute, "%s", known.keysProblem)
	}
	if problem := known.examined.pairProblem; problem != nil {
		return nil, blocked(problem.Reason, time.Minute, "%s", problem.Error())
	}
	var served []snapshot.SPKey
	if connection, ok := s.memory.served.connection(idp); ok {
		served = connection.Keys
	}
	err := known.advance(s, served, policyOf(idp), trust.KeyWish{Rotation: idp.Annotations[v1alpha1.AnnotationRotateKeys], Provided: known.examined.pair},
		func() (snapshot.SPKey, error) {
			if !s.another(&s.firstKey) {
				return snapshot.SPKey{}, errNoKeyYet
			}
			key := r.keyPool.take()
			if key == nil {
				return snapshot.SPKey{}, errNoKeyYet
			}
			return trust.CertifySPKey(key, s.now, compile.EntityID(s.serviceProvider.Spec.URL, idp.Name), policyOf(idp).Lifetime, nil)
		},
		func(set trust.KeySet, first bool) error {
			if !s.another(&s.firstKey) {
				return errNoKeyYet
			}
			return r.writeKeys(ctx, s, idp, set, first)
		})
	switch {
	case errors.Is(err, errNoKeyYet):
		s.later(300 * time.Millisecond)
		err = nil
	case errors.Is(err, errRestored):
		s.memory.recalled = false
		s.later(settle)
		err = nil
	}
	return known.keys.SPKeys(), err
}

func policyOf(idp *v1alpha1.IdentityProvider) trust.KeyPolicy {
	keys := idp.Spec.SAML.Keys
	return trust.KeyPolicy{
		Lifetime:       keys.CertificateLifetime.Or(v1alpha1.DefaultCertificateLifetime),
		RotationWindow: keys.RotationWindow.Or(v1alpha1.DefaultRotationWindow),
		Overlap:        keys.Overlap.Or(v1alpha1.DefaultKeyOverlap),
	}
}

// writeKeys writes the Secret. The first one is created and never applied: keys that are there already, whoever made them, are not lost.
func (r *Reconciler) writeKeys(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider, set trust.KeySet, first bool) error {
	secret := ownedByIdP(s, idp, keysSecretName(idp.Name), set.Data())
	if !first {
		return r.applySecret(ctx, s, secret, ownerKeys)
	}
	return r.createSecret(ctx, s, secret)
}
