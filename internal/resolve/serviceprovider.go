package resolve

import (
	"context"
	"errors"
	"fmt"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
)

// OfSinks are the references of the audit sinks of a ServiceProvider.
func OfSinks(sp *v1alpha1.ServiceProvider) (all []Reference) {
	for _, s := range sp.Spec.Audit.Sinks {
		all = append(all, given(sinkReferences(s))...)
	}
	return all
}

// OfServiceProvider are all references of a ServiceProvider whose change asks for another look at it.
func OfServiceProvider(sp *v1alpha1.ServiceProvider) []Reference {
	return append(OfSinks(sp), OfStore(sp)...)
}

// OfStore are the references of the store that are looked at before a pod is: its CA bundle.
func OfStore(sp *v1alpha1.ServiceProvider) []Reference { return given(storeAuthorities(sp)) }

func storeAuthorities(sp *v1alpha1.ServiceProvider) *Reference {
	if store := sp.Spec.Store; store != nil && store.Postgres != nil {
		return toCA("spec.store.postgres.caBundle", store.Postgres.CABundle)
	}
	return nil
}

// Store looks at the CA bundle of the store, which the pods mount. What the user has to mend is in the result, and in full in problem, nil where all is well. The error is that
// of the source.
func Store(ctx context.Context, from Source, sp *v1alpha1.ServiceProvider) (resolved compile.ResolvedStore, problem *Problem, err error) {
	_, err = readAuthorities(ctx, from, storeAuthorities(sp))
	if problem, ok := errors.AsType[*Problem](err); ok {
		return compile.ResolvedStore{Reason: problem.Reason, Message: problem.Error()}, problem, nil
	}
	return compile.ResolvedStore{}, nil, err
}

// StoreConnection is where the URI of the database is, nil when there is no database to connect to.
func StoreConnection(sp *v1alpha1.ServiceProvider) *Reference {
	if store := sp.Spec.Store; store != nil && store.Postgres != nil {
		return toSecret("spec.store.postgres.connectionSecretRef", store.Postgres.ConnectionSecretRef, v1alpha1.DefaultConnectionKey)
	}
	return nil
}

// sinkReferences are those of one audit sink: its secret and its CA bundle, nil where it has none.
func sinkReferences(s v1alpha1.AuditSink) (secret, ca *Reference) {
	field := fmt.Sprintf("spec.audit.sinks[%s]", s.Name)
	switch {
	case s.Webhook != nil:
		return toSecret(field+".webhook.keySecretRef", s.Webhook.KeySecretRef, v1alpha1.DefaultSignatureKey), toCA(field+".webhook.caBundle", s.Webhook.CABundle)
	case s.Syslog != nil:
		return nil, toCA(field+".syslog.caBundle", s.Syslog.CABundle)
	case s.OTLP != nil:
		if s.OTLP.TokenSecretRef != nil {
			secret = toSecret(field+".otlp.tokenSecretRef", *s.OTLP.TokenSecretRef, v1alpha1.DefaultTokenKey)
		}
		return secret, toCA(field+".otlp.caBundle", s.OTLP.CABundle)
	}
	return nil, nil
}

// Sinks reads what the audit sinks refer to, by the name of the sink. What the user has to mend is in the result, and in full in problems, by the same name.
// The error is that of the source.
func Sinks(ctx context.Context, from Source, sp *v1alpha1.ServiceProvider) (resolved map[string]compile.ResolvedSink, problems map[string]*Problem, err error) {
	resolved, problems = map[string]compile.ResolvedSink{}, map[string]*Problem{}
	for _, s := range sp.Spec.Audit.Sinks {
		one, err := sink(ctx, from, s)
		if problem, ok := errors.AsType[*Problem](err); ok {
			one = compile.ResolvedSink{Reason: problem.Reason, Message: problem.Error()}
			problems[string(s.Name)] = problem
		} else if err != nil {
			return nil, nil, fmt.Errorf("audit sink %s: %w", s.Name, err)
		}
		resolved[string(s.Name)] = one
	}
	return resolved, problems, nil
}

func sink(ctx context.Context, from Source, s v1alpha1.AuditSink) (out compile.ResolvedSink, err error) {
	secret, ca := sinkReferences(s)
	if out.Secret, err = Read(ctx, from, secret); err != nil {
		return out, err
	}
	out.CABundle, err = readAuthorities(ctx, from, ca)
	return out, err
}
