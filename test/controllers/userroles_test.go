package controllers

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
)

var (
	reads   = []string{"get", "list", "watch"}
	changes = []string{"create", "update", "patch", "delete", "deletecollection"}
)

// TestTheClustersRolesReachOurKinds asks the API server what those may do who are admin, edit or view of a namespace, or hold one of our roles alone. Who may edit
// applications may not decide who comes in to them: edit reads, as view does.
func TestTheClustersRolesReachOurKinds(t *testing.T) {
	kubectl(t, "apply", "-f", filepath.Join(root, "config", "rbac", "user-roles.yaml"))
	for _, role := range []string{"view", "edit", "admin"} { // edit takes view in, and admin edit
		aggregate(t, role)
	}
	ns, other := namespace(t), namespace(t)
	roles := map[string][]string{ // what holders may do with our kinds besides reading them
		"admin": changes, "edit": nil, "view": nil, "sallyport-editor": changes, "sallyport-viewer": nil,
	}
	for role := range roles {
		create(t, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: role}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "holder-of-" + role}}})
	}
	eventually(t, "the roles are in force", func() bool {
		for role, more := range roles {
			if !may(t, "holder-of-"+role, ns, "list", "identityproviders", "") || more != nil && !may(t, "holder-of-"+role, ns, "delete", "identityproviders", "") {
				return false
			}
		}
		return true
	})
	for role, more := range roles {
		for _, kind := range []string{"serviceproviders", "identityproviders", "domainbindings", "attributemappings"} {
			for _, verb := range append(slices.Clone(reads), changes...) {
				asks(t, role, ns, verb, kind, "", slices.Contains(reads, verb) || slices.Contains(more, verb))
				asks(t, role, other, verb, kind, "", false)
				if got := may(t, "mallory", ns, verb, kind, ""); got {
					t.Errorf("a stranger may %s %s", verb, kind)
				}
			}
			// Status is the operator's: whoever writes it may say that anything is well.
			for _, verb := range []string{"get", "update", "patch"} {
				asks(t, role, ns, verb, kind, "status", verb == "get")
			}
			asks(t, role, ns, "update", kind, "finalizers", false)
		}
	}
	// Keys and tokens are in Secrets. Kubernetes shows them to admin and edit; nobody sees them through us.
	for _, role := range []string{"view", "sallyport-editor", "sallyport-viewer"} {
		for _, verb := range append(slices.Clone(reads), changes...) {
			if holder := "holder-of-" + role; reviewed(t, holder, authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Resource: "secrets"}) {
				t.Errorf("%s may %s Secrets", holder, verb)
			}
		}
	}
}

// aggregate does the part of the controller manager, which no API server has: a role gets the rules of those that its selectors find.
func aggregate(t *testing.T, role string) {
	t.Helper()
	into := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role}}
	eventually(t, "the API server has the role "+role, func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(into), into) == nil && into.AggregationRule != nil
	})
	var all rbacv1.ClusterRoleList
	if err := k8s.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	into.Rules = nil
	for _, selector := range into.AggregationRule.ClusterRoleSelectors {
		s, err := metav1.LabelSelectorAsSelector(&selector)
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range all.Items {
			if s.Matches(labels.Set(from.Labels)) && from.Name != role {
				into.Rules = append(into.Rules, from.Rules...)
			}
		}
	}
	if err := k8s.Update(t.Context(), into); err != nil {
		t.Fatal(err)
	}
}

func asks(t *testing.T, role, ns, verb, kind, subresource string, want bool) {
	t.Helper()
	if got := may(t, "holder-of-"+role, ns, verb, kind, subresource); got != want {
		t.Errorf("whoever has the role %s: %s %s %s in %s is %t, want %t", role, verb, kind, subresource, ns, got, want)
	}
}

// may asks about one of our kinds.
func may(t *testing.T, user, ns, verb, kind, subresource string) bool {
	t.Helper()
	return reviewed(t, user, authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Group: v1alpha1.GroupName, Resource: kind, Subresource: subresource})
}

func reviewed(t *testing.T, user string, what authorizationv1.ResourceAttributes) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, Groups: []string{"system:authenticated"}, ResourceAttributes: &what}}
	if err := k8s.Create(t.Context(), review); err != nil {
		t.Fatal(fmt.Errorf("%s: %v: %w", user, what, err))
	}
	return review.Status.Allowed
}
