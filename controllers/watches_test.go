package controllers

import (
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

func TestTheCacheKeepsWhoChangedAnObjectAndNotWhich(t *testing.T) {
	at := metav1.NewTime(time.Unix(1000, 0))
	kinds := map[string]client.Object{"ServiceProvider": &v1alpha1.ServiceProvider{}, "IdentityProvider": &v1alpha1.IdentityProvider{},
		"DomainBinding": &v1alpha1.DomainBinding{}, "AttributeMapping": &v1alpha1.AttributeMapping{}}
	seen := 0
	for kind, options := range CacheOptions(nil).ByObject {
		for name, object := range kinds {
			if reflect.TypeOf(kind) != reflect.TypeOf(object) {
				continue
			}
			seen++
			object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl", Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
				{Manager: "sallyport-status", Subresource: "status", FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)}})
			kept, err := options.Transform(object)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range kept.(client.Object).GetManagedFields() {
				if entry.FieldsV1 != nil {
					t.Errorf("%s keeps the fields that %s has changed", name, entry.Manager)
				}
			}
			if who := actor(kept.(client.Object)); who.Manager != "kubectl" {
				t.Errorf("%s: who changed it is %+v", name, who)
			}
		}
	}
	if seen != len(kinds) {
		t.Errorf("%d of %d kinds have such a cache", seen, len(kinds))
	}
}
