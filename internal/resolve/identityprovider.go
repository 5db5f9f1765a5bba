package resolve

import (
	"bytes"
	"context"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

const (
	metadataField = "spec.saml.metadata"
	pairField     = "spec.saml.keys.secretRef"
)

// OfIdentityProvider are all references of an IdentityProvider.
func OfIdentityProvider(idp *v1alpha1.IdentityProvider) []Reference {
	source := idp.Spec.SAML.Metadata
	return given(contentReference(source), toCA(metadataField+".caBundle", source.CABundle), signatureReference(source), pairReference(idp, corev1.TLSCertKey))
}

// contentReference is where metadata or certificates come from, nil when they are typed in or come from a URL.
func contentReference(source v1alpha1.MetadataSource) *Reference {
	switch {
	case source.FromConfigMap != nil:
		return toConfigMap(metadataField+".fromConfigMap", *source.FromConfigMap, v1alpha1.DefaultMetadataKey)
	case source.FromSecret != nil:
		return toSecret(metadataField+".fromSecret", *source.FromSecret, v1alpha1.DefaultMetadataKey)
	case source.Manual != nil && source.Manual.CertificatesFrom != nil:
		return toSecret(metadataField+".manual.certificatesFrom", source.Manual.CertificatesFrom.SecretRef, v1alpha1.DefaultCertificateKey)
	}
	return nil
}

func signatureReference(source v1alpha1.MetadataSource) *Reference {
	if source.SignatureCertificate == nil {
		return nil
	}
	return toSecret(metadataField+".signatureCertificate", source.SignatureCertificate.SecretRef, v1alpha1.DefaultCertificateKey)
}

// pairReference is one half of the key pair that the user has brought, nil when keys are made.
func pairReference(idp *v1alpha1.IdentityProvider, half string) *Reference {
	if ref := idp.Spec.SAML.Keys.SecretRef; ref != nil {
		return &Reference{pairField, "Secret", string(ref.Name), half}
	}
	return nil
}

// Metadata reads what the spec says of the IdP and refers to. The options give the time, and what else the program allows; the rest of them comes from the spec.
// Metadata that comes from a URL is nil, and the trust.Spec says how to get it. The error is a *Problem or that of the source.
func Metadata(ctx context.Context, from Source, source v1alpha1.MetadataSource, options trust.ParseOptions) (*trust.Metadata, trust.Spec, error) {
	var err error
	options.EntityID = string(source.EntityID)
	if _, options.SignatureCertificates, err = readPEM(ctx, from, signatureReference(source)); err != nil {
		return nil, trust.Spec{}, err
	}
	if source.URL != "" {
		ca, err := Read(ctx, from, toCA(metadataField+".caBundle", source.CABundle))
		return nil, trust.Spec{URL: string(source.URL), CABundle: ca, Parse: options, Interval: source.RefreshInterval.Or(v1alpha1.DefaultRefreshInterval)}, err
	}
	if source.Manual != nil {
		metadata, err := manual(ctx, from, source.Manual, contentReference(source))
		return metadata, trust.Spec{}, err
	}
	content := []byte(source.Inline)
	if ref := contentReference(source); ref != nil {
		if content, err = Read(ctx, from, ref); err != nil {
			return nil, trust.Spec{}, err
		}
	}
	metadata, err := trust.ParseMetadata(bytes.NewReader(content), options)
	if err != nil {
		return nil, trust.Spec{}, OfMetadata(source, err)
	}
	return metadata, trust.Spec{}, nil
}

// OfMetadata puts an error of internal/trust to the field that metadata in the cluster comes from.
func OfMetadata(source v1alpha1.MetadataSource, err error) *Problem {
	field := metadataField + ".inline"
	if ref := contentReference(source); ref != nil {
		field = ref.Field
	}
	return invalid(ReasonOf(err), field, "%v", err)
}

// manual reads trust that is typed in; the certificates may be in a Secret.
func manual(ctx context.Context, from Source, m *v1alpha1.ManualTrust, ref *Reference) (*trust.Metadata, error) {
	certificates := m.Certificates
	if ref != nil {
		content, _, err := readPEM(ctx, from, ref)
		if err != nil {
			return nil, err
		}
		certificates = []string{string(content)}
	}
	metadata, err := trust.ManualTrust(string(m.EntityID), string(m.SSOURL), string(m.SSOBinding), string(m.SLOURL), certificates)
	if err == nil {
		return metadata, nil
	}
	// The error begins with the field below manual, such as certificates[1].
	name, sentence, _ := strings.Cut(err.Error(), " ")
	if name = strings.TrimSuffix(name, ":"); ref != nil && strings.HasPrefix(name, "certificates") {
		return nil, invalid(ReasonOf(err), ref.Field, "%s %s, key %s: %s", ref.Kind, ref.Name, ref.Key, sentence)
	}
	return nil, invalid(ReasonOf(err), metadataField+".manual."+name, "%s", sentence)
}

// KeyPair reads the key pair that the user has brought, nil when keys are made. The error is a *Problem or that of the source.
func KeyPair(ctx context.Context, from Source, idp *v1alpha1.IdentityProvider) (*snapshot.SPKey, error) {
	if idp.Spec.SAML.Keys.SecretRef == nil {
		return nil, nil
	}
	certificate, err := Read(ctx, from, pairReference(idp, corev1.TLSCertKey))
	if err != nil {
		return nil, err
	}
	key, err := Read(ctx, from, pairReference(idp, corev1.TLSPrivateKeyKey))
	if err != nil {
		return nil, err
	}
	pair, err := trust.ParseKeyPair(certificate, key)
	if err != nil {
		return nil, invalid(v1alpha1.ReasonInvalidCertificate, pairField, "Secret %s %v.", idp.Spec.SAML.Keys.SecretRef.Name, err)
	}
	return &pair, nil
}

// ReasonOf names the kind of trouble with metadata as a condition reason.
func ReasonOf(err error) string {
	e, ok := errors.AsType[*trust.Error](err)
	if !ok {
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
