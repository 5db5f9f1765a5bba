package controllers

import (
	"context"
	"errors"
	"fmt"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/trust"
)

// sinkMemory is what the references of the audit sinks came to, and of what.
type sinkMemory struct {
	basis    string
	resolved map[string]compile.ResolvedSink
}

// sinkReferences are those of one audit sink: its secret and its CA bundle, nil where it has none.
func sinkReferences(s v1alpha1.AuditSink) (secret, ca *reference) {
	field := fmt.Sprintf("spec.audit.sinks[%s]", s.Name)
	ref, fallback, bundle := compile.SinkReferences(s)
	if ref != nil {
		secret = toSecret(field, *ref, fallback)
	}
	switch {
	case bundle == nil:
	case bundle.ConfigMapRef != nil:
		ca = toConfigMap(field+".caBundle", *bundle.ConfigMapRef, v1alpha1.DefaultCAKey)
	case bundle.SecretRef != nil:
		ca = toSecret(field+".caBundle", *bundle.SecretRef, v1alpha1.DefaultCAKey)
	}
	return secret, ca
}

// referencesOfSinks are all of a ServiceProvider: a change of any of them asks for another pass.
func referencesOfSinks(sp *v1alpha1.ServiceProvider) []reference {
	var all []reference
	for _, s := range sp.Spec.Audit.Sinks {
		secret, ca := sinkReferences(s)
		for _, ref := range []*reference{secret, ca} {
			if ref != nil {
				all = append(all, *ref)
			}
		}
	}
	return all
}

// resolveSinks reads what the audit sinks refer to. What the user has to mend is in the result.
func (r *Reconciler) resolveSinks(ctx context.Context, s *scope) error {
	sp := s.serviceProvider
	basis, err := r.basisOf(ctx, sp, referencesOfSinks(sp))
	if err != nil {
		return err
	}
	if s.memory.sinks.basis == basis {
		return nil
	}
	resolved := map[string]compile.ResolvedSink{}
	for _, sink := range sp.Spec.Audit.Sinks {
		one, err := r.resolveSink(ctx, s, sink)
		if err != nil {
			return fmt.Errorf("audit sink %s: %w", sink.Name, err)
		}
		resolved[string(sink.Name)] = one
	}
	s.memory.sinks = sinkMemory{basis, resolved}
	return nil
}

func (r *Reconciler) resolveSink(ctx context.Context, s *scope, sink v1alpha1.AuditSink) (compile.ResolvedSink, error) {
	var out compile.ResolvedSink
	secret, ca := sinkReferences(sink)
	var err error
	if out.Secret, err = r.read(ctx, s, secret); err == nil {
		out.CABundle, err = r.read(ctx, s, ca)
	}
	if err == nil && ca != nil {
		if _, problem := trust.ParsePEM(string(out.CABundle)); problem != nil {
			err = invalidField(v1alpha1.ReasonInvalidCertificate, ca.field, "%s %s, key %s, %v.", ca.kind, ca.name, ca.key, problem)
		}
	}
	var problem *fieldError
	if errors.As(err, &problem) {
		return compile.ResolvedSink{Reason: problem.reason, Message: problem.message}, nil
	}
	return out, err
}
