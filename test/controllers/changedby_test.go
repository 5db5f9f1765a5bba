package controllers

import (
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// stamping installs the admission policy for the namespace until the end of the test, and returns clients of people whom it knows by name. It is in force when it answers.
func stamping(t *testing.T, ns string) (as func(name string) client.Client, uninstall func()) {
	t.Helper()
	uninstall = installed(t, ns, "changed-by", "changed-by")
	as = func(name string) client.Client {
		t.Helper()
		config := rest.CopyConfig(apiServer)
		config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:masters"}}
		c, err := client.New(config, client.Options{Scheme: objects})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	alice := as("alice@acme.example")
	eventually(t, "the policy is in force", func() bool {
		try := serviceProvider(ns)
		err := alice.Create(t.Context(), try, client.DryRunAll)
		return err == nil && try.Annotations[v1alpha1.AnnotationChangedBy] == "alice@acme.example"
	})
	return as, uninstall
}

// TestTheAuditLogSaysWhoChangedIt: with the admission policy, records of changes name the user; nobody can put another's name there.
func TestTheAuditLogSaysWhoChangedIt(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	as, _ := stamping(t, ns)
	alice, mallory := as("alice@acme.example"), as("mallory@acme.example")
	o := newOperator(t, ns)
	create(t, serviceProvider(ns))
	_ = newPod(t, ns, "main")
	idp := identityProvider(ns, "okta", inline(t))
	idp.Annotations = map[string]string{v1alpha1.AnnotationChangedBy: "somebody else"}
	if err := alice.Create(t.Context(), idp); err != nil {
		t.Fatal(err)
	}
	await(t, idp, "Ready", isTrue, "Serving")
	change := client.MergeFrom(idp.DeepCopy())
	idp.Spec.State = v1alpha1.StateDisabled
	idp.Annotations[v1alpha1.AnnotationChangedBy] = "alice@acme.example"
	if err := mallory.Patch(t.Context(), idp, change); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change to be recorded", func() bool { return o.audit.count(audit.TypeSAMLIdPDisabled, "okta") == 1 })
	want := map[audit.Type]string{audit.TypeSAMLIdPCreated: "alice@acme.example", audit.TypeSAMLIdPDisabled: "mallory@acme.example"}
	for _, r := range o.audit.all() {
		if name, ok := want[r.Type]; ok && (r.Actor.ID != name || r.Actor.Manager == "" || r.Actor.Kind != audit.ActorKubernetes) {
			t.Errorf("%s was done by %+v, want %s", r.Type, r.Actor, name)
		}
	}
	// What the operator writes is not stamped.
	if get(t, idp); idp.Annotations[v1alpha1.AnnotationChangedBy] != "mallory@acme.example" {
		t.Errorf("stamped is %q", idp.Annotations[v1alpha1.AnnotationChangedBy])
	}
	// Who has the audit key replaced changes no spec, and has a record all the same.
	var sp v1alpha1.ServiceProvider
	sp.Namespace, sp.Name = ns, "main"
	eventually(t, "an audit key", func() bool { get(t, &sp); return sp.Status.AuditKey != nil })
	change = client.MergeFrom(sp.DeepCopy())
	sp.Annotations[v1alpha1.AnnotationRotateAuditKey] = "now"
	if err := mallory.Patch(t.Context(), &sp, change); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rotation to be recorded", func() bool { return o.audit.count(audit.TypeAuditKeyRotated, "main") == 1 })
	for _, r := range o.audit.all() {
		if r.Type == audit.TypeAuditKeyRotated && r.Actor.ID != "mallory@acme.example" {
			t.Errorf("the key was replaced by %+v", r.Actor)
		}
	}
}
