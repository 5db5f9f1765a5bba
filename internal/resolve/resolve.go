// Package resolve reads the keys of ConfigMaps and Secrets that objects refer to, and says in the words of the conditions what is wrong with them. The operator
// reads them from the cluster and `kubectl sso lint` from files; the answers are the same.
package resolve

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/trust"
)

// ErrAbsent says that there is no object of that kind and name.
var ErrAbsent = errors.New("there is no such object")

// Source gets the ConfigMaps and Secrets of one namespace.
type Source interface {
	// Contents are the values of a ConfigMap or Secret by key. The error is ErrAbsent when there is none of that name; every other one is that of the source.
	Contents(ctx context.Context, kind, name string) (map[string][]byte, error)
}

// ConfigMapContents are the values of a ConfigMap by key, text and binary.
func ConfigMapContents(configMap *corev1.ConfigMap) map[string][]byte {
	data := map[string][]byte{}
	for key, content := range configMap.Data {
		data[key] = []byte(content)
	}
	maps.Copy(data, configMap.BinaryData)
	return data
}

// Reference is one key of a Secret or ConfigMap that an object names in a field of its spec.
type Reference struct {
	Field, Kind, Name, Key string
}

func toSecret(field string, ref v1alpha1.SecretKeyReference, fallback string) *Reference {
	return &Reference{field, "Secret", string(ref.Name), ref.KeyOr(fallback)}
}

func toConfigMap(field string, ref v1alpha1.ConfigMapKeyReference, fallback string) *Reference {
	return &Reference{field, "ConfigMap", string(ref.Name), ref.KeyOr(fallback)}
}

// toCA is where the certificates of authorities are, nil when none are named.
func toCA(field string, bundle *v1alpha1.CABundleSource) *Reference {
	switch {
	case bundle == nil:
	case bundle.ConfigMapRef != nil:
		return toConfigMap(field, *bundle.ConfigMapRef, v1alpha1.DefaultCAKey)
	case bundle.SecretRef != nil:
		return toSecret(field, *bundle.SecretRef, v1alpha1.DefaultCAKey)
	}
	return nil
}

// given leaves out what nothing refers to.
func given(references ...*Reference) (all []Reference) {
	for _, ref := range references {
		if ref != nil {
			all = append(all, *ref)
		}
	}
	return all
}

// Problem names the field of the spec that has to be changed, or whose reference has to be mended.
type Problem struct {
	// Reason is that of the condition.
	Reason string
	// Field is the path of the field, and Sentence what is wrong with it and what to do.
	Field, Sentence string
	// Absent is the reference whose object is not there at all; nil: something else is wrong.
	Absent *Reference
}

func (p *Problem) Error() string { return p.Field + ": " + p.Sentence }

func invalid(reason, field, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Field: field, Sentence: fmt.Sprintf(format, args...)}
}

// unreadable says what is wrong with the content that a reference leads to, in a sentence of which the reference is the subject.
func (r *Reference) unreadable(reason string, problem any) *Problem {
	return invalid(reason, r.Field, "%s %s, key %s, %v.", r.Kind, r.Name, r.Key, problem)
}

// Read returns what a reference leads to; a nil one has nothing. The error is a *Problem, which never has the content in it, or that of the source.
func Read(ctx context.Context, from Source, ref *Reference) ([]byte, error) {
	if ref == nil {
		return nil, nil
	}
	data, err := from.Contents(ctx, ref.Kind, ref.Name)
	if errors.Is(err, ErrAbsent) {
		problem := invalid(v1alpha1.ReasonReferenceNotFound, ref.Field, "there is no %s %s in this namespace: create it, or correct the name.", ref.Kind, ref.Name)
		problem.Absent = ref
		return nil, problem
	}
	if err != nil {
		return nil, err
	}
	if len(data[ref.Key]) == 0 {
		return nil, invalid(v1alpha1.ReasonReferenceNotFound, ref.Field, "%s %s has no key %s: add it, or name another key.", ref.Kind, ref.Name, ref.Key)
	}
	return data[ref.Key], nil
}

// readPEM is Read of certificates; a nil reference has none.
func readPEM(ctx context.Context, from Source, ref *Reference) ([]byte, []*x509.Certificate, error) {
	content, err := Read(ctx, from, ref)
	if err != nil || ref == nil {
		return nil, nil, err
	}
	certificates, err := trust.ParsePEM(string(content))
	if err != nil {
		return nil, nil, ref.unreadable(v1alpha1.ReasonInvalidCertificate, err)
	}
	return content, certificates, nil
}

// readAuthorities is Read of the certificates of authorities, as those read them who verify by them: as PEM, and as many as there are.
func readAuthorities(ctx context.Context, from Source, ref *Reference) ([]byte, error) {
	content, err := Read(ctx, from, ref)
	if err != nil || ref == nil {
		return nil, err
	}
	if says := trust.CheckAuthorities(content); says != nil {
		return nil, ref.unreadable(v1alpha1.ReasonInvalidCertificate, says)
	}
	return content, nil
}
