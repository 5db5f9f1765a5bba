package controllers

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/render"
)

const tokenKey = "token"

// workload applies what runs the ServiceProvider. The snapshot is there by now, so a pod that starts has something to serve.
func (r *Reconciler) workload(ctx context.Context, s *scope) error {
	sp, m := s.serviceProvider, s.memory
	if sp == nil || s.output.Snapshot == nil {
		return nil
	}
	if err := r.managementToken(ctx, s); err != nil {
		return err
	}
	if err := r.keepLastingKeys(ctx, s); err != nil {
		return err
	}
	if err := r.keepAuditKey(ctx, s); err != nil {
		return err
	}
	out := render.Render(render.Input{ServiceProvider: sp, Image: r.Options.Image, OperatorNamespace: r.Options.Namespace, AuditKeyID: audit.KeyID(m.auditKey.public)})
	encoded, err := json.Marshal([]any{sp.UID, out})
	if err != nil {
		return err
	}
	digest := sha256.Sum256(encoded)
	if err := r.lookAtRoute(ctx, s, out.HTTPRoute); err != nil {
		return err
	}
	if m.takeDrift() {
		m.applied = [32]byte{}
	}
	if m.applied == digest {
		return nil // at rest nothing is written
	}
	objects := out.Apply
	if out.HTTPRoute != nil {
		objects = append(objects, client.ApplyConfigurationFromUnstructured(out.HTTPRoute))
	}
	if err := r.applyWorkload(ctx, s, objects); err != nil {
		return err
	}
	for _, absent := range out.Absent {
		if err := r.deleteOwned(ctx, s, absent); err != nil {
			return err
		}
	}
	m.applied = digest
	return nil
}

// applyWorkload looks at every name before it writes anything: a ServiceProvider whose names are taken must not be half there. An object that the API server
// refuses keeps the others from nothing.
func (r *Reconciler) applyWorkload(ctx context.Context, s *scope, objects []runtime.ApplyConfiguration) error {
	for _, object := range objects {
		kind, name, err := identify(object)
		if err != nil {
			return err
		}
		if s.memory.known(workloadKey(kind.Kind, name)) {
			continue
		}
		err = r.adoptable(ctx, s, kind, name)
		if meta.IsNoMatchError(err) {
			return noGatewayAPI()
		}
		if err != nil {
			return err
		}
	}
	var refused error
	for _, object := range objects {
		kind, name, err := identify(object)
		if err != nil {
			return err
		}
		err = r.Client.Apply(ctx, object, client.FieldOwner(ownerWorkload), client.ForceOwnership)
		if kind.Kind == "HTTPRoute" && apierrors.IsNotFound(err) {
			refused = cmp.Or(refused, noGatewayAPI()) // it had one when it was asked last
			continue
		}
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
			refused = cmp.Or(refused, blocked(v1alpha1.ReasonInvalid, 5*time.Minute, "%s %s cannot be changed to what spec says: %v", kind.Kind, name, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", kind.Kind, name, err)
		}
		s.memory.wrote(workloadKey(kind.Kind, name), versionOf(object))
	}
	return refused
}

// workloadKey names an object of the workload in memory; Secrets are named by their name alone.
func workloadKey(kind, name string) string { return kind + "/" + name }

// identify returns the kind and name of what is to be applied.
func identify(object runtime.ApplyConfiguration) (schema.GroupVersionKind, string, error) {
	o, ok := object.(interface {
		GetKind() *string
		GetAPIVersion() *string
		GetName() *string
	})
	if u, is := object.(interface{ UnstructuredContent() map[string]any }); is {
		content := &unstructured.Unstructured{Object: u.UnstructuredContent()}
		return content.GroupVersionKind(), content.GetName(), nil
	}
	if !ok {
		return schema.GroupVersionKind{}, "", fmt.Errorf("%T has no kind and name", object)
	}
	return schema.FromAPIVersionAndKind(ptr.Deref(o.GetAPIVersion(), ""), ptr.Deref(o.GetKind(), "")), ptr.Deref(o.GetName(), ""), nil
}

// versionOf is the resource version that the API server has answered with; the answer is in the object.
func versionOf(object runtime.ApplyConfiguration) *string {
	encoded, err := json.Marshal(object)
	if err != nil {
		return nil
	}
	var o metav1.PartialObjectMetadata
	if json.Unmarshal(encoded, &o) != nil {
		return nil
	}
	return &o.ResourceVersion
}

// deleteOwned deletes an object of an earlier spec, only if it is the ServiceProvider's.
func (r *Reconciler) deleteOwned(ctx context.Context, s *scope, absent render.Absent) error {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(absent.APIVersion, absent.Kind))
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: s.key.Namespace, Name: absent.Name}, object)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) || err == nil && !metav1.IsControlledBy(object, s.serviceProvider) {
		return nil
	}
	if err != nil {
		return err
	}
	uid := object.GetUID()
	return client.IgnoreNotFound(r.Client.Delete(ctx, object, client.Preconditions{UID: &uid}))
}

// managementToken makes the token of the management API once. It is never put into status, Events or logs.
func (r *Reconciler) managementToken(ctx context.Context, s *scope) error {
	if s.memory.token != "" {
		return nil
	}
	name := types.NamespacedName{Namespace: s.key.Namespace, Name: render.ManagementSecretName(s.key.Name)}
	var secret corev1.Secret
	err := r.Live.Get(ctx, name, &secret)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil && metav1.IsControlledBy(&secret, s.serviceProvider) && len(secret.Data[tokenKey]) > 0 {
		s.memory.token = string(secret.Data[tokenKey])
		s.memory.wrote(name.Name, &secret.ResourceVersion)
		return nil
	}
	if err == nil && metav1.IsControlledBy(&secret, s.serviceProvider) {
		uid := secret.UID
		if err := r.Client.Delete(ctx, &secret, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	token := base64.RawURLEncoding.EncodeToString(random)
	if err := r.createOrTakeBack(ctx, s, ownedByServiceProvider(s, name.Name, map[string][]byte{tokenKey: []byte(token)})); err != nil {
		return err
	}
	s.memory.token = token
	return nil
}
