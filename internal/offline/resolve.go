package offline

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

const metadataField = "spec.saml.metadata"

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

func (n *note) Error() string { return n.field + ": " + n.message }

// invalid is a sentence that names the field of the spec that has to be changed.
type invalid string

func (i invalid) Error() string { return string(i) }

func invalidField(field, format string, args ...any) error {
	return invalid(field + ": " + fmt.Sprintf(format, args...))
}

// resolve returns what the compiler wants to know of the IdP, and what could not be looked at.
func (r Resolver) resolve(ctx context.Context, sp *v1alpha1.ServiceProvider, idp *v1alpha1.IdentityProvider, found *references, previous *snapshot.Connection) (compile.Resolved, []note, error) {
	var resolved compile.Resolved
	var notes []note
	var err error
	if ref := idp.Spec.SAML.Keys.SecretRef; ref != nil {
		resolved.Keys, err = ownPair(string(ref.Name), found)
	} else if r.MakeKeys {
		resolved.Keys, err = r.keys(sp, idp, previous)
	}
	if missing, ok := errors.AsType[*note](err); ok {
		notes = append(notes, *missing)
	} else if sentence, ok := errors.AsType[invalid](err); ok {
		resolved.Invalid = string(sentence)
	} else if err != nil {
		return resolved, nil, err
	}
	metadata, err := r.metadata(ctx, idp.Spec.SAML.Metadata, found)
	if err == nil {
		resolved.Trust = &metadata.Trust
		for _, warning := range metadata.Warnings {
			notes = append(notes, note{metadataField, warning})
		}
		return resolved, notes, nil
	}
	if missing, ok := errors.AsType[*note](err); ok {
		return resolved, append(notes, *missing), nil
	}
	resolved.Reason, resolved.Message = v1alpha1.ReasonTrustFailed, err.Error()
	if sentence, ok := errors.AsType[invalid](err); ok {
		resolved.Invalid = string(sentence)
	}
	return resolved, notes, nil
}

// keys are those of the last time, or a new pair: the IdP knows our certificate, so it must not change from run to run.
func (r Resolver) keys(sp *v1alpha1.ServiceProvider, idp *v1alpha1.IdentityProvider, previous *snapshot.Connection) ([]snapshot.SPKey, error) {
	if previous != nil && slices.ContainsFunc(previous.Keys, func(k snapshot.SPKey) bool { return k.Phase == snapshot.KeyCurrent }) {
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

// ownPair is the key pair that the user has brought. Nothing was published before, so it signs at once.
func ownPair(name string, found *references) ([]snapshot.SPKey, error) {
	const field = "spec.saml.keys.secretRef"
	var halves [2][]byte
	for i, half := range []v1alpha1.DataKey{"tls.crt", "tls.key"} {
		content, err := found.secret(field, v1alpha1.SecretKeyReference{Name: v1alpha1.ObjectName(name), Key: half}, "")
		if err != nil {
			return nil, err
		}
		halves[i] = content
	}
	pair, err := trust.ParseKeyPair(halves[0], halves[1])
	if err != nil {
		return nil, invalidField(field, "Secret %s %v", name, err)
	}
	pair.Phase = snapshot.KeyCurrent
	return []snapshot.SPKey{pair}, nil
}

func (r Resolver) now() time.Time {
	if r.Now.IsZero() {
		return time.Now()
	}
	return r.Now
}

// metadata reads the source, whichever of the five it is.
func (r Resolver) metadata(ctx context.Context, source v1alpha1.MetadataSource, found *references) (*trust.Metadata, error) {
	if source.Manual != nil {
		return manual(source.Manual, found)
	}
	parse, err := r.parseOptions(source, found)
	if err != nil {
		return nil, err
	}
	if source.URL != "" {
		return r.fetch(ctx, source, parse, found)
	}
	field, content := metadataField+".inline", []byte(source.Inline)
	switch {
	case source.FromConfigMap != nil:
		field = metadataField + ".fromConfigMap"
		content, err = found.configMap(field, *source.FromConfigMap, v1alpha1.DefaultMetadataKey)
	case source.FromSecret != nil:
		field = metadataField + ".fromSecret"
		content, err = found.secret(field, *source.FromSecret, v1alpha1.DefaultMetadataKey)
	}
	if err != nil {
		return nil, err
	}
	metadata, err := trust.ParseMetadata(bytes.NewReader(content), parse)
	if err != nil {
		return nil, invalidField(field, "%v", err)
	}
	return metadata, nil
}

func (r Resolver) parseOptions(source v1alpha1.MetadataSource, found *references) (trust.ParseOptions, error) {
	options := trust.ParseOptions{EntityID: string(source.EntityID), Now: r.now(), AllowHTTPLoopback: r.AllowHTTPLoopback}
	if source.SignatureCertificate == nil {
		return options, nil
	}
	field := metadataField + ".signatureCertificate"
	content, err := found.secret(field, source.SignatureCertificate.SecretRef, v1alpha1.DefaultCertificateKey)
	if err != nil {
		return options, err
	}
	if options.SignatureCertificates, err = trust.ParsePEM(string(content)); err != nil {
		return options, invalidField(field, "%v", err)
	}
	return options, nil
}

func (r Resolver) fetch(ctx context.Context, source v1alpha1.MetadataSource, parse trust.ParseOptions, found *references) (*trust.Metadata, error) {
	field := metadataField + ".url"
	if r.Fetch == nil {
		return nil, &note{field, "metadata by URL is not fetched: not checked"}
	}
	var bundle []byte
	if ca := source.CABundle; ca != nil {
		var err error
		if ca.ConfigMapRef != nil {
			bundle, err = found.configMap(metadataField+".caBundle", *ca.ConfigMapRef, v1alpha1.DefaultCAKey)
		} else {
			bundle, err = found.secret(metadataField+".caBundle", *ca.SecretRef, v1alpha1.DefaultCAKey)
		}
		if err != nil {
			return nil, err
		}
	}
	metadata, err := r.Fetch(ctx, string(source.URL), bundle, parse)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return metadata, nil
}

func manual(source *v1alpha1.ManualTrust, found *references) (*trust.Metadata, error) {
	field, certificates := metadataField+".manual", source.Certificates
	if source.CertificatesFrom != nil {
		content, err := found.secret(field+".certificatesFrom", source.CertificatesFrom.SecretRef, v1alpha1.DefaultCertificateKey)
		if err != nil {
			return nil, err
		}
		certificates = []string{string(content)}
	}
	metadata, err := trust.ManualTrust(string(source.EntityID), string(source.SSOURL), string(source.SSOBinding), string(source.SLOURL), certificates)
	switch {
	case err == nil:
		return metadata, nil
	case source.CertificatesFrom != nil:
		return nil, invalidField(field+".certificatesFrom", "%v", err)
	default:
		// The error begins with the field below manual, such as certificates[1].
		name, sentence, _ := strings.Cut(err.Error(), " ")
		return nil, invalidField(field+"."+strings.TrimSuffix(name, ":"), "%s", sentence)
	}
}
