package offline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/resolve"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

const (
	metadataField = "spec.saml.metadata"
	urlField      = metadataField + ".url"
)

// Resolver finds out what is to be trusted of an IdentityProvider, from the manifests alone or with the network.
type Resolver struct {
	// Now is the time that metadata must be valid at. Zero: the clock of this machine.
	Now time.Time
	// Fetch gets metadata by URL. Nil: nothing is fetched, and that is noted.
	Fetch func(ctx context.Context, url string, caBundle []byte, parse trust.ParseOptions) (*trust.Metadata, error)
	// MakeKeys makes a key pair for every connection that has none.
	MakeKeys bool
	// AllowHTTPLoopback lets endpoints of the IdP be http://127.0.0.1 and the like.
	AllowHTTPLoopback bool
}

// note is something that could not be looked at.
type note struct{ field, message string }

// resolve returns what the compiler wants to know of the IdP, and what could not be looked at.
func (r Resolver) resolve(ctx context.Context, sp *v1alpha1.ServiceProvider, idp *v1alpha1.IdentityProvider, found references, previous *snapshot.Connection) (compile.Resolved, []note, error) {
	var resolved compile.Resolved
	var notes []note
	metadata, how, err := resolve.Metadata(ctx, found, idp.Spec.SAML.Metadata, trust.ParseOptions{Now: r.now(), AllowHTTPLoopback: r.AllowHTTPLoopback})
	problem, _ := errors.AsType[*resolve.Problem](err)
	switch {
	case err == nil && metadata == nil && r.Fetch == nil:
		notes = append(notes, note{urlField, "metadata by URL is not fetched: not checked"})
	case err == nil && metadata == nil:
		if metadata, err = r.Fetch(ctx, how.URL, how.CABundle, how.Parse); err != nil {
			resolved.Reason, resolved.Message = resolve.ReasonOf(err), urlField+": "+err.Error()
		}
	case problem != nil && problem.Absent != nil:
		notes = append(notes, noteOfAbsent(problem.Absent))
	case problem != nil:
		resolved.Reason, resolved.Message = problem.Reason, problem.Error()
		resolved.Refuse(problem.Reason, problem.Error())
	case err != nil:
		return resolved, nil, err
	}
	if metadata != nil {
		resolved.Trust = &metadata.Trust
		for _, warning := range metadata.Warnings {
			notes = append(notes, note{metadataField, warning})
		}
	}
	resolved.Keys, err = r.keys(ctx, sp, idp, found, previous)
	if problem, ok := errors.AsType[*resolve.Problem](err); ok && problem.Absent != nil {
		return resolved, append(notes, noteOfAbsent(problem.Absent)), nil
	} else if ok {
		resolved.Refuse(problem.Reason, problem.Error())
		return resolved, notes, nil
	}
	return resolved, notes, err
}

// keys are the pair that the user has brought, those of the last time, or a new pair: the IdP knows our certificate, so it must not change from run to run.
func (r Resolver) keys(ctx context.Context, sp *v1alpha1.ServiceProvider, idp *v1alpha1.IdentityProvider, found references, previous *snapshot.Connection) ([]snapshot.SPKey, error) {
	pair, err := resolve.KeyPair(ctx, found, idp)
	switch {
	case err != nil:
		return nil, err
	case pair != nil:
		// Nothing was published before, so it signs at once.
		pair.Phase = snapshot.KeyCurrent
		return []snapshot.SPKey{*pair}, nil
	case !r.MakeKeys:
		return nil, nil
	case previous != nil && slices.ContainsFunc(previous.Keys, func(k snapshot.SPKey) bool { return k.Phase == snapshot.KeyCurrent }):
		return previous.Keys, nil
	}
	lifetime := idp.Spec.SAML.Keys.CertificateLifetime.Or(v1alpha1.DefaultCertificateLifetime)
	key, err := trust.NewSPKey(r.now(), compile.EntityID(sp.Spec.URL, idp.Name), lifetime, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for IdentityProvider %s: %w", idp.Name, err)
	}
	key.Phase = snapshot.KeyCurrent
	return []snapshot.SPKey{key}, nil
}

// headerKeys are those of the last time, or a new one, where the signed header is wanted.
func (r Resolver) headerKeys(sp *v1alpha1.ServiceProvider, previous *snapshot.Snapshot) ([]snapshot.SPKey, error) {
	if !r.MakeKeys || !compile.WantsSignedHeader(sp) {
		return nil, nil
	}
	if previous != nil && previous.ServiceProvider.SignedHeader != nil {
		return previous.ServiceProvider.SignedHeader.Keys, nil
	}
	key, err := trust.NewHeaderKey(r.now(), sp.Spec.URL, v1alpha1.DefaultHeaderKeyLifetime)
	key.Phase = snapshot.KeyCurrent
	return []snapshot.SPKey{key}, err
}

func (r Resolver) now() time.Time {
	if r.Now.IsZero() {
		return time.Now()
	}
	return r.Now
}

// sinks resolves the audit sinks. One whose Secret or ConfigMap is not among the files is left out, and that is noted.
func sinks(ctx context.Context, sp *v1alpha1.ServiceProvider, found references) (map[string]compile.ResolvedSink, []note, error) {
	resolved, problems, err := resolve.Sinks(ctx, found, sp)
	var notes []note
	for name, problem := range problems {
		if problem.Absent != nil {
			delete(resolved, name)
			notes = append(notes, noteOfAbsent(problem.Absent))
		}
	}
	return resolved, notes, err
}
