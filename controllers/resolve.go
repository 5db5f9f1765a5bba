package controllers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/trust"
)

const metadataField = "spec.saml.metadata"

// trustState is what is known of the trust in one IdentityProvider.
type trustState struct {
	metadata *trust.Metadata // nil: there is none yet
	source   v1alpha1.MetadataSourceKind
	resolved compile.Resolved
	fresh    compile.Condition
	times    fetchTimes
}

// fieldError names the field of the spec that has to be changed.
type fieldError struct {
	reason  string
	message string
}

func (e *fieldError) Error() string { return e.message }

func invalidField(reason, field, format string, args ...any) error {
	return &fieldError{reason, field + ": " + fmt.Sprintf(format, args...)}
}

// resolve finds out what is trusted of every IdentityProvider, and that each has keys of ours. Nothing here waits for the network.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	s.trust = map[string]*trustState{}
	s.resolved = map[string]compile.Resolved{}
	s.verified = map[string]compile.Verification{}
	if s.serviceProvider == nil {
		return nil
	}
	for i := range s.idps {
		idp := &s.idps[i]
		if string(idp.Spec.ServiceProviderRef.Name) != s.key.Name {
			continue
		}
		state, err := r.resolveOne(ctx, s, idp)
		if err != nil {
			return fmt.Errorf("identity provider %s: %w", idp.Name, err)
		}
		keys, err := r.keys(ctx, s.serviceProvider, idp)
		if err != nil {
			return fmt.Errorf("keys of identity provider %s: %w", idp.Name, err)
		}
		state.resolved.Keys = keys
		s.trust[idp.Name] = state
		s.resolved[idp.Name] = state.resolved
	}
	return nil
}

// resolveOne returns the trust in one IdentityProvider. An error means that the API server could not answer; what the user has to
// mend is in the state.
func (r *Reconciler) resolveOne(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider) (*trustState, error) {
	source := idp.Spec.SAML.Metadata
	if source.URL != "" {
		return r.fetched(ctx, s, idp)
	}
	kind, field, content, err := r.given(ctx, idp)
	state := &trustState{source: kind, fresh: compile.Condition{Type: v1alpha1.ConditionMetadataFresh, Status: "True",
		Reason: v1alpha1.ReasonNotRefreshed, Message: "The metadata is not from a URL: there is nothing to refresh."}}
	var metadata *trust.Metadata
	if err == nil {
		metadata, err = r.parse(ctx, idp, field, content)
	}
	var problem *fieldError
	switch {
	case errors.As(err, &problem):
		state.resolved = compile.Resolved{Reason: problem.reason, Message: problem.message, Invalid: problem.message}
		state.fresh = compile.Condition{Type: v1alpha1.ConditionMetadataFresh, Status: "False", Reason: problem.reason, Message: problem.message}
		if before, ok := connection(&s.previous.snapshot, idp.Name); ok && before.UID == string(idp.UID) {
			state.resolved.Trust = before.Trust // the last good trust goes on being served
		}
	case err != nil:
		return nil, err
	default:
		state.metadata = metadata
		state.resolved.Trust = &metadata.Trust
	}
	return state, nil
}

// given returns the metadata that is in the cluster: typed in, or in a ConfigMap or Secret.
func (r *Reconciler) given(ctx context.Context, idp *v1alpha1.IdentityProvider) (v1alpha1.MetadataSourceKind, string, []byte, error) {
	source := idp.Spec.SAML.Metadata
	switch {
	case source.FromConfigMap != nil:
		field := metadataField + ".fromConfigMap"
		content, err := r.configMapKey(ctx, idp.Namespace, field, *source.FromConfigMap, v1alpha1.DefaultMetadataKey)
		return v1alpha1.MetadataSourceConfigMap, field, content, err
	case source.FromSecret != nil:
		field := metadataField + ".fromSecret"
		content, err := r.secretKey(ctx, idp.Namespace, field, *source.FromSecret, v1alpha1.DefaultMetadataKey)
		return v1alpha1.MetadataSourceSecret, field, content, err
	case source.Manual != nil:
		if source.Manual.CertificatesFrom != nil {
			field := metadataField + ".manual.certificatesFrom"
			content, err := r.secretKey(ctx, idp.Namespace, field, source.Manual.CertificatesFrom.SecretRef, v1alpha1.DefaultCertificateKey)
			return v1alpha1.MetadataSourceManual, field, content, err
		}
		return v1alpha1.MetadataSourceManual, metadataField + ".manual", nil, nil
	default:
		return v1alpha1.MetadataSourceInline, metadataField + ".inline", []byte(source.Inline), nil
	}
}

// parse reads metadata once and remembers the verdict for as long as nothing that went into it changes.
func (r *Reconciler) parse(ctx context.Context, idp *v1alpha1.IdentityProvider, field string, content []byte) (*trust.Metadata, error) {
	options, err := r.parseOptions(ctx, idp)
	if err != nil {
		return nil, err
	}
	digest, err := inputDigest(idp, content, options)
	if err != nil {
		return nil, err
	}
	return r.parsed.remember(idp.UID, digest, func() (*trust.Metadata, error) {
		if manual := idp.Spec.SAML.Metadata.Manual; manual != nil {
			certificates := manual.Certificates
			if manual.CertificatesFrom != nil {
				certificates = []string{string(content)}
			}
			metadata, err := trust.ManualTrust(string(manual.EntityID), string(manual.SSOURL), string(manual.SSOBinding), string(manual.SLOURL), certificates)
			if err != nil {
				return nil, invalidField(v1alpha1.ReasonInvalidCertificate, metadataField+".manual", "%v", err)
			}
			return metadata, nil
		}
		metadata, err := trust.ParseMetadata(bytes.NewReader(content), options)
		if err != nil {
			return nil, invalidField(reasonOf(err), field, "%v", err)
		}
		return metadata, nil
	})
}

func inputDigest(idp *v1alpha1.IdentityProvider, content []byte, options trust.ParseOptions) ([32]byte, error) {
	encoded, err := json.Marshal([]any{idp.Spec.SAML.Metadata, content, options.EntityID, options.SignatureCertificates})
	return sha256.Sum256(encoded), err
}

func (r *Reconciler) parseOptions(ctx context.Context, idp *v1alpha1.IdentityProvider) (trust.ParseOptions, error) {
	source := idp.Spec.SAML.Metadata
	options := trust.ParseOptions{EntityID: string(source.EntityID), Now: r.Clock.Now()}
	if source.SignatureCertificate == nil {
		return options, nil
	}
	field := metadataField + ".signatureCertificate"
	content, err := r.secretKey(ctx, idp.Namespace, field, source.SignatureCertificate.SecretRef, v1alpha1.DefaultCertificateKey)
	if err != nil {
		return options, err
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return options, invalidField(v1alpha1.ReasonInvalidCertificate, field, "not a certificate: %v", err)
		}
		options.SignatureCertificates = append(options.SignatureCertificates, certificate)
	}
	if len(options.SignatureCertificates) == 0 {
		return options, invalidField(v1alpha1.ReasonInvalidCertificate, field, "there is no PEM certificate in it")
	}
	return options, nil
}

// reasonOf names the kind of trouble with metadata as a condition reason.
func reasonOf(err error) string {
	var e *trust.Error
	if !errors.As(err, &e) {
		return v1alpha1.ReasonTrustFailed
	}
	switch e.Kind {
	case trust.KindEntityNotFound:
		return v1alpha1.ReasonEntityNotFound
	case trust.KindSignature:
		return v1alpha1.ReasonSignatureInvalid
	case trust.KindExpired:
		return v1alpha1.ReasonMetadataExpired
	case trust.KindEntityIDChanged:
		return v1alpha1.ReasonEntityIDChanged
	case trust.KindBadCertificate, trust.KindNoSigningKey:
		return v1alpha1.ReasonInvalidCertificate
	case trust.KindNotXML, trust.KindDTD, trust.KindWrongRoot, trust.KindNoIDPSSODescriptor, trust.KindBadEndpoint:
		return v1alpha1.ReasonInvalidMetadata
	default:
		return v1alpha1.ReasonFetchFailed
	}
}

// secretKey reads one key of a Secret, past the cache. Its content is never put into an error.
func (r *Reconciler) secretKey(ctx context.Context, namespace, field string, ref v1alpha1.SecretKeyReference, key string) ([]byte, error) {
	if ref.Key != "" {
		key = string(ref.Key)
	}
	var secret corev1.Secret
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, invalidField(v1alpha1.ReasonReferenceNotFound, field, "there is no Secret %s in this namespace: create it, or correct the name", ref.Name)
	}
	if err != nil {
		return nil, err
	}
	if len(secret.Data[key]) == 0 {
		return nil, invalidField(v1alpha1.ReasonReferenceNotFound, field, "Secret %s has no key %s", ref.Name, key)
	}
	return secret.Data[key], nil
}

// configMapKey reads one key of a ConfigMap, past the cache.
func (r *Reconciler) configMapKey(ctx context.Context, namespace, field string, ref v1alpha1.ConfigMapKeyReference, key string) ([]byte, error) {
	if ref.Key != "" {
		key = string(ref.Key)
	}
	var object corev1.ConfigMap
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}, &object)
	if apierrors.IsNotFound(err) {
		return nil, invalidField(v1alpha1.ReasonReferenceNotFound, field, "there is no ConfigMap %s in this namespace: create it, or correct the name", ref.Name)
	}
	if err != nil {
		return nil, err
	}
	if content, ok := object.Data[key]; ok {
		return []byte(content), nil
	}
	if content, ok := object.BinaryData[key]; ok {
		return content, nil
	}
	return nil, invalidField(v1alpha1.ReasonReferenceNotFound, field, "ConfigMap %s has no key %s", ref.Name, key)
}
