package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// branch is a line of the tree and what hangs below it.
type branch struct {
	text  string
	below []*branch
}

func (b *branch) add(children ...*branch) *branch {
	b.below = append(b.below, children...)
	return b
}

func (b *branch) leaf(format string, args ...any) {
	b.add(&branch{text: fmt.Sprintf(format, args...)})
}

// print writes the branch; lead stands before its own line, indent before what is below.
func (b *branch) print(w io.Writer, lead, indent string) {
	fmt.Fprintln(w, strings.TrimRight(lead+clean(b.text), " "))
	for i, child := range b.below {
		if i == len(b.below)-1 {
			child.print(w, indent+"└─ ", indent+"   ")
		} else {
			child.print(w, indent+"├─ ", indent+"│  ")
		}
	}
}

func (e *estate) tree(sp *v1alpha1.ServiceProvider) *branch {
	root := &branch{text: fmt.Sprintf("sp/%s  %s  %s", sp.Name, sp.Spec.URL, verdict(sp.Status.Conditions))}
	root.leaf("revision %s", revision(sp))
	if sp.Status.Users != nil && sp.Status.ActiveSessions != nil {
		root.leaf("%s, %s", plural(int(*sp.Status.Users), "user", "users"), plural(int(*sp.Status.ActiveSessions), "session", "sessions"))
	}
	for _, k := range sp.Status.HeaderKeys {
		root.leaf("header key  %s  %s  until %s%s", k.ID, k.Phase, k.NotAfter.UTC().Format(time.DateOnly), ended(k.NotAfter.Time))
	}
	pods := root
	if n := len(e.Pods[sp.Name]); n != 1 {
		pods = &branch{text: plural(n, "pod", "pods")}
		root.add(pods)
	}
	for _, p := range e.Pods[sp.Name] {
		text := "pod/" + p.Name + "  " + p.State
		if p.Restarts > 0 {
			text += "  " + plural(int(p.Restarts), "restart", "restarts")
		}
		pods.leaf("%s", text)
	}
	for i := range e.IdentityProviders {
		if idp := &e.IdentityProviders[i]; string(idp.Spec.ServiceProviderRef.Name) == sp.Name {
			root.add(e.idpBranch(idp))
		}
	}
	return root
}

// verdict is Ready with its reason.
func verdict(conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return "Unknown"
	case ready.Status == metav1.ConditionTrue:
		return "Ready"
	case ready.Status == metav1.ConditionUnknown:
		return "Unknown (" + ready.Reason + ")"
	}
	return "Not ready (" + ready.Reason + ")"
}

func revision(sp *v1alpha1.ServiceProvider) string {
	s := sp.Status
	switch {
	case s.Revision == "":
		return "none yet"
	case s.Revision == s.ProgrammedRevision:
		return short(s.Revision) + ", served by " + s.ReplicaSummary + " pods"
	case s.ProgrammedRevision == "":
		return short(s.Revision) + ", not served by every pod yet"
	}
	return short(s.Revision) + ", not served by every pod yet; last served by all: " + short(s.ProgrammedRevision)
}

func (e *estate) idpBranch(idp *v1alpha1.IdentityProvider) *branch {
	text := fmt.Sprintf("idp/%s  %s  %s  %s", idp.Name, idp.Spec.Type, idp.Spec.State, verdict(idp.Status.Conditions))
	if idp.Spec.DisplayName != "" {
		text = strings.Replace(text, "  ", fmt.Sprintf(" %q  ", idp.Spec.DisplayName), 1)
	}
	b := &branch{text: text}
	if m := idp.Status.Metadata; m != nil && m.LastFetched != nil {
		fetched := "metadata fetched " + at(m.LastFetched.Time)
		if m.NextRefresh != nil {
			fetched += ", next " + at(m.NextRefresh.Time)
		}
		b.leaf("%s", fetched)
	}
	for _, c := range idp.Status.Certificates {
		b.leaf("IdP certificate  %s  %s  until %s%s", short(c.SHA256), c.Use, c.NotAfter.UTC().Format(time.DateOnly), ended(c.NotAfter.Time))
	}
	for _, c := range ours(idp) {
		b.leaf("SP certificate  %s  %s  until %s%s", short(c.SHA256), c.Phase, c.NotAfter.UTC().Format(time.DateOnly), ended(c.NotAfter.Time))
	}
	for i := range e.DomainBindings {
		d := &e.DomainBindings[i]
		if string(d.Spec.IdentityProviderRef.Name) != idp.Name {
			continue
		}
		domain := d.Spec.Domain
		if d.Spec.Subdomains == v1alpha1.Included {
			domain += " and below"
		}
		b.leaf("domain %s  domainbinding/%s  %s", domain, d.Name, verdict(d.Status.Conditions))
	}
	if idp.Spec.CatchAll == v1alpha1.StateEnabled {
		b.leaf("every other domain (catchAll)")
	}
	for i := range e.AttributeMappings {
		if m := &e.AttributeMappings[i]; string(m.Spec.IdentityProviderRef.Name) == idp.Name {
			b.leaf("attributemapping/%s  %s", m.Name, verdict(m.Status.Conditions))
		}
	}
	if idp.Status.Users != nil {
		people := plural(int(*idp.Status.Users), "user", "users")
		if idp.Status.LastSignIn != nil {
			people += ", last sign-in " + at(idp.Status.LastSignIn.Time)
		}
		b.leaf("%s", people)
	}
	return b
}

func ended(t time.Time) string {
	if time.Now().After(t) {
		return " (expired)"
	}
	return ""
}
