package compile

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

var nameIDFormats = map[v1alpha1.NameIDFormat]string{
	v1alpha1.NameIDEmailAddress: identity.FormatEmailAddress,
	v1alpha1.NameIDPersistent:   identity.FormatPersistent,
	v1alpha1.NameIDTransient:    identity.FormatTransient,
	v1alpha1.NameIDUnspecified:  identity.FormatUnspecified,
}

var samlBindings = map[v1alpha1.SAMLBinding]string{
	v1alpha1.BindingRedirect: snapshot.BindingRedirect,
	v1alpha1.BindingPOST:     snapshot.BindingPOST,
}

func compareNames(a, b string) int { return cmp.Compare(a, b) }

// identityProviders makes a connection for every IdentityProvider of the ServiceProvider.
func (p *pass) identityProviders(sp *snapshot.ServiceProvider) {
	bindings := p.bindingsByIdentityProvider()
	var idps []*v1alpha1.IdentityProvider
	for _, idp := range p.own {
		idps = append(idps, idp)
	}
	catchAll := ""
	for _, idp := range byAge(idps) {
		f := p.finding(v1alpha1.KindIdentityProvider, idp)
		f.Bindings = bindings[idp.Name]
		resolved := p.in.Resolved[idp.Name]
		f.setTrust(resolved)
		switch {
		case p.in.ServiceProvider == nil:
			f.refuse(v1alpha1.ReasonServiceProviderNotFound, "spec.serviceProviderRef: there is no ServiceProvider %q in this namespace: create it, or delete this object.", p.in.Name)
			continue
		case sp == nil:
			f.wait(v1alpha1.ReasonServiceProviderNotAccepted, "ServiceProvider %s is not accepted: its own conditions say what to do.", p.in.Name)
			continue
		case terminating(idp) && len(f.Bindings) == 0:
			// Nothing holds it any more: it leaves the snapshot first, so that its sessions end before its keys go.
			f.refuse(v1alpha1.ReasonTerminating, "The object is being deleted.")
			continue
		}
		f.accept()
		c := connection(idp, resolved, sp.URL)
		if resolved.Invalid != "" {
			f.refuse(cmp.Or(resolved.InvalidReason, v1alpha1.ReasonInvalid), "%s", resolved.Invalid)
			f.Serving = ServingLastGood
			if c.Trust == nil {
				f.Serving = ServingNothing
			}
		}
		if c.CatchAll && catchAll != "" {
			// The connection itself stays: its bound domains must not suffer.
			c.CatchAll = false
			f.refuse(v1alpha1.ReasonConflicted, "spec.catchAll: IdentityProvider %s is the catch-all already, and is older: set catchAll: Disabled on one of the two. Until then this one serves its bound domains only.", catchAll)
			f.Serving, f.Winner = ServingLastGood, catchAll
		} else if c.CatchAll {
			catchAll = idp.Name
		}
		p.connections[idp.Name] = c
	}
}

func (p *pass) bindingsByIdentityProvider() map[string][]string {
	bindings := map[string][]string{}
	for i := range p.in.DomainBindings {
		b := &p.in.DomainBindings[i]
		name := string(b.Spec.IdentityProviderRef.Name)
		if idp := p.own[name]; !terminating(b) && (idp == nil || Holds(b, idp)) {
			bindings[name] = append(bindings[name], b.Name)
		}
	}
	for _, names := range bindings {
		slices.Sort(names)
	}
	return bindings
}

func (f *Finding) setTrust(resolved Resolved) {
	switch {
	case resolved.Trust != nil:
		f.set(v1alpha1.ConditionTrustEstablished, metav1.ConditionTrue, v1alpha1.ReasonEstablished, "The IdP is %s.", resolved.Trust.EntityID)
	case resolved.Reason == "":
		f.set(v1alpha1.ConditionTrustEstablished, metav1.ConditionUnknown, v1alpha1.ReasonPending, "Trust has not been evaluated yet.")
	case resolved.Reason == v1alpha1.ReasonFetching || resolved.Reason == v1alpha1.ReasonPending:
		f.set(v1alpha1.ConditionTrustEstablished, metav1.ConditionUnknown, resolved.Reason, "%s", resolved.Message)
	default:
		f.set(v1alpha1.ConditionTrustEstablished, metav1.ConditionFalse, resolved.Reason, "%s", resolved.Message)
	}
}

// connection is one IdentityProvider as it is served, but for its mapping.
func connection(idp *v1alpha1.IdentityProvider, resolved Resolved, base string) *snapshot.Connection {
	spec := idp.Spec
	c := &snapshot.Connection{
		Name: idp.Name, UID: uid(idp.UID), Generation: idp.Generation,
		DisplayName: or(spec.DisplayName, idp.Name),
		Type:        string(or(spec.Type, v1alpha1.TypeGeneric)),
		Enabled:     spec.State != v1alpha1.StateDisabled,
		CatchAll:    spec.CatchAll == v1alpha1.StateEnabled,
		Trust:       resolved.Trust,
		Keys:        resolved.Keys,
		Request:     requestPolicy(spec.SAML.Request),
		Response: snapshot.ResponsePolicy{
			RequireEncryption:        spec.SAML.Response.Encryption == v1alpha1.DemandRequired,
			RequireResponseSignature: spec.SAML.Response.ResponseSignature == v1alpha1.DemandRequired,
			AllowUnsolicited:         spec.SAML.Response.Unsolicited == v1alpha1.PermissionAllowed,
			AllowSHA1:                spec.SAML.Response.SHA1 == v1alpha1.PermissionAllowed,
			ClockSkew:                spec.SAML.Response.ClockSkew.Or(v1alpha1.DefaultClockSkew),
		},
		Logout: snapshot.LogoutPolicy{Enabled: spec.SAML.Logout.State != v1alpha1.StateDisabled, URL: string(spec.SAML.Logout.URL)},
		Provisioning: snapshot.Provisioning{
			JIT:                 spec.Provisioning.JIT != v1alpha1.StateDisabled,
			RequireSecondFactor: spec.Provisioning.SecondFactor == v1alpha1.SecondFactorRequired,
		},
		ScrubOnDelete: spec.Deletion.MirroredAttributes == v1alpha1.MirroredAttributesScrub,
	}
	c.EntityID = EntityID(base, idp.Name)
	c.TrustPageURL = c.EntityID
	c.MetadataURL = c.EntityID + "/metadata"
	c.ACSURL = c.EntityID + "/acs"
	c.SLOURL = c.EntityID + "/slo"
	if spec.Debug != nil && spec.Debug.VerboseUntil != nil {
		c.VerboseUntil = spec.Debug.VerboseUntil.UTC()
	}
	return c
}

// EntityID returns our own entity ID for a connection: <url>/saml/<name>. It is the address of the trust page too;
// metadata, ACS and SLO are /metadata, /acs and /slo below it.
func EntityID(base, connection string) string {
	return strings.TrimSuffix(base, "/") + "/saml/" + connection
}

func requestPolicy(request v1alpha1.RequestSettings) snapshot.RequestPolicy {
	policy := snapshot.RequestPolicy{
		Sign:         request.Signing != v1alpha1.StateDisabled,
		Binding:      samlBindings[request.Binding],
		NameIDFormat: nameIDFormats[request.NameIDFormat],
		ForceAuthn:   request.ForceAuthn == v1alpha1.StateEnabled,
	}
	if request.AuthnContext != nil {
		policy.AuthnContextClasses = slices.Clone(request.AuthnContext.Classes)
		policy.AuthnContextComparison = strings.ToLower(string(or(request.AuthnContext.Comparison, v1alpha1.ComparisonExact)))
	}
	return policy
}
