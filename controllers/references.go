package controllers

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

const (
	metadataField = "spec.saml.metadata"
	pairField     = "spec.saml.keys.secretRef"
)

// fieldError names the field of the spec that has to be changed, or whose reference has to be mended.
type fieldError struct {
	reason  string
	message string
}

func (e *fieldError) Error() string { return e.message }

func invalidField(reason, field, format string, args ...any) *fieldError {
	return &fieldError{reason, field + ": " + fmt.Sprintf(format, args...)}
}

// reference is one key of a Secret or ConfigMap that an IdentityProvider names.
type reference struct {
	field, kind, name, key string
}

func toSecret(field string, ref v1alpha1.SecretKeyReference, fallback string) *reference {
	return &reference{field, "Secret", string(ref.Name), ref.KeyOr(fallback)}
}

func toConfigMap(field string, ref v1alpha1.ConfigMapKeyReference, fallback string) *reference {
	return &reference{field, "ConfigMap", string(ref.Name), ref.KeyOr(fallback)}
}

// contentReference is where metadata or certificates come from, nil when they are typed in or come from a URL.
func contentReference(source v1alpha1.MetadataSource) *reference {
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

func caReference(source v1alpha1.MetadataSource) *reference {
	field := metadataField + ".caBundle"
	switch {
	case source.CABundle == nil:
		return nil
	case source.CABundle.ConfigMapRef != nil:
		return toConfigMap(field, *source.CABundle.ConfigMapRef, v1alpha1.DefaultCAKey)
	case source.CABundle.SecretRef != nil:
		return toSecret(field, *source.CABundle.SecretRef, v1alpha1.DefaultCAKey)
	}
	return nil
}

func signatureReference(source v1alpha1.MetadataSource) *reference {
	if source.SignatureCertificate == nil {
		return nil
	}
	return toSecret(metadataField+".signatureCertificate", source.SignatureCertificate.SecretRef, v1alpha1.DefaultCertificateKey)
}

// pairReference is one half of the key pair that the user has brought, nil when keys are made.
func pairReference(idp *v1alpha1.IdentityProvider, half string) *reference {
	if ref := idp.Spec.SAML.Keys.SecretRef; ref != nil {
		return &reference{pairField, "Secret", string(ref.Name), half}
	}
	return nil
}

// referencesOf are all of an IdentityProvider: a change of any of them asks for another pass.
func referencesOf(idp *v1alpha1.IdentityProvider) []reference {
	var all []reference
	source := idp.Spec.SAML.Metadata
	for _, ref := range []*reference{contentReference(source), caReference(source), signatureReference(source), pairReference(idp, corev1.TLSCertKey)} {
		if ref != nil {
			all = append(all, *ref)
		}
	}
	return all
}

// basisOf names the spec and the versions of everything that it refers to: what was made of them stays good while it stays the same.
// The versions come from a cache of metadata, so that a pass reads no contents unless they have changed.
func (r *Reconciler) basisOf(ctx context.Context, of client.Object, references []reference) (string, error) {
	var basis strings.Builder
	fmt.Fprintf(&basis, "%d", of.GetGeneration())
	for _, ref := range references {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(ref.kind))
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: of.GetNamespace(), Name: ref.name}, object)
		if client.IgnoreNotFound(err) != nil {
			return "", err
		}
		fmt.Fprintf(&basis, " %s/%s@%s", ref.kind, ref.name, object.ResourceVersion)
	}
	return basis.String(), nil
}

// read returns what a reference leads to, past the cache and once in a pass: a thousand connections may name one ConfigMap of authorities. Its content is
// never put into an error; a nil reference has none.
func (r *Reconciler) read(ctx context.Context, s *scope, ref *reference) ([]byte, error) {
	if ref == nil {
		return nil, nil
	}
	id := ref.kind + "/" + ref.name
	data, known := s.contents[id]
	if !known {
		var err error
		data, err = r.contentsOf(ctx, ref.kind, types.NamespacedName{Namespace: s.key.Namespace, Name: ref.name})
		if apierrors.IsNotFound(err) {
			return nil, invalidField(v1alpha1.ReasonReferenceNotFound, ref.field, "there is no %s %s in this namespace: create it, or correct the name.", ref.kind, ref.name)
		}
		if err != nil {
			return nil, err
		}
		s.contents[id] = data
	}
	if len(data[ref.key]) == 0 {
		return nil, invalidField(v1alpha1.ReasonReferenceNotFound, ref.field, "%s %s has no key %s: add it, or name another key.", ref.kind, ref.name, ref.key)
	}
	return data[ref.key], nil
}

func (r *Reconciler) contentsOf(ctx context.Context, kind string, name types.NamespacedName) (map[string][]byte, error) {
	if kind == "Secret" {
		var secret corev1.Secret
		err := r.Live.Get(ctx, name, &secret)
		return secret.Data, err
	}
	var configMap corev1.ConfigMap
	if err := r.Live.Get(ctx, name, &configMap); err != nil {
		return nil, err
	}
	data := map[string][]byte{}
	for key, content := range configMap.Data {
		data[key] = []byte(content)
	}
	maps.Copy(data, configMap.BinaryData)
	return data, nil
}
