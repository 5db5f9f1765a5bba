package compile

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

// domainBindings returns the domains to serve. A domain that is claimed rightly and cannot be served now (its IdentityProvider is
// missing, it is not verified) is held: it names no connection, so that nobody, the catch-all included, may assert it.
func (p *pass) domainBindings() []snapshot.Domain {
	var bindings []*v1alpha1.DomainBinding
	for i := range p.in.DomainBindings {
		if !p.others[string(p.in.DomainBindings[i].Spec.IdentityProviderRef.Name)] {
			bindings = append(bindings, &p.in.DomainBindings[i])
		}
	}
	winners := make(map[string]string, len(bindings))
	var domains []snapshot.Domain
	if len(bindings) > 0 {
		domains = make([]snapshot.Domain, 0, len(bindings))
	}
	for _, b := range byAge(bindings) {
		f := p.finding(v1alpha1.KindDomainBinding, b)
		p.setVerified(f, b)
		if terminating(b) {
			f.refuse(v1alpha1.ReasonTerminating, "The object is being deleted.")
			continue
		}
		if reason, problem := domainProblem(b.Spec.Domain); problem != "" {
			f.refuse(reason, "spec.domain: %s", problem)
			continue
		}
		if winner, taken := winners[b.Spec.Domain]; taken {
			f.refuse(v1alpha1.ReasonConflicted, "spec.domain: %s is bound by DomainBinding %s, which is older: delete one of the two. This one takes over when the other goes.", b.Spec.Domain, winner)
			f.Winner = winner
			continue
		}
		winners[b.Spec.Domain] = b.Name
		domains = append(domains, snapshot.Domain{
			Domain: b.Spec.Domain, Subdomains: b.Spec.Subdomains == v1alpha1.Included,
			Connection: p.connectionFor(f, b), Binding: b.Name, UID: uid(b.UID), Generation: b.Generation,
		})
	}
	slices.SortFunc(domains, func(a, b snapshot.Domain) int { return compareNames(a.Domain, b.Domain) })
	return domains
}

// Holds tells whether a binding keeps the IdentityProvider that it refers to from being deleted: one that was made after the deletion comes too late.
func Holds(b *v1alpha1.DomainBinding, idp *v1alpha1.IdentityProvider) bool {
	return !terminating(b) && (!terminating(idp) || !idp.DeletionTimestamp.Before(&b.CreationTimestamp))
}

// connectionFor returns the connection that serves the binding, or "" when the domain is held.
func (p *pass) connectionFor(f *Finding, b *v1alpha1.DomainBinding) string {
	name := string(b.Spec.IdentityProviderRef.Name)
	idp, exists := p.own[name]
	switch {
	case !exists:
		f.refuse(v1alpha1.ReasonIdentityProviderNotFound, "spec.identityProviderRef: there is no IdentityProvider %q in this namespace: create it, or name another. Until then nobody signs in with an address of %s.", name, b.Spec.Domain)
		return ""
	case !Holds(b, idp):
		f.refuse(v1alpha1.ReasonTerminating, "spec.identityProviderRef: IdentityProvider %s is being deleted: name another.", name)
		return ""
	case p.connections[name] == nil:
		f.waitForIdentityProvider(name)
		return ""
	}
	f.accept()
	if c := f.Condition(v1alpha1.ConditionVerified); c.Status != metav1.ConditionTrue {
		f.Serving = ServingNothing
		return ""
	}
	return name
}

func (p *pass) setVerified(f *Finding, b *v1alpha1.DomainBinding) {
	if b.Spec.Verification.Method != v1alpha1.VerificationDNS {
		f.set(v1alpha1.ConditionVerified, metav1.ConditionTrue, v1alpha1.ReasonNotRequired, "No verification is required.")
		return
	}
	switch v, known := p.in.Verified[b.Name]; {
	case !known:
		f.set(v1alpha1.ConditionVerified, metav1.ConditionUnknown, v1alpha1.ReasonPending, "The TXT record has not been looked up yet.")
	case v.Verified:
		f.set(v1alpha1.ConditionVerified, metav1.ConditionTrue, or(v.Reason, v1alpha1.ReasonVerified), "%s", v.Message)
	default:
		f.set(v1alpha1.ConditionVerified, metav1.ConditionFalse, or(v.Reason, v1alpha1.ReasonRecordNotFound), "%s", v.Message)
	}
}

// DomainProblem says why a domain cannot be bound, with what to write instead; empty when it can.
func DomainProblem(domain string) string {
	_, problem := domainProblem(domain)
	return problem
}

// mostGood bounds how many domains are remembered as good: three times those that one ServiceProvider is made for.
const mostGood = 15_000

// good are domains that can be bound. That takes looking into Unicode's tables and the list of public suffixes, and a pass asks it of every domain.
var good = struct {
	sync.RWMutex
	domains map[string]struct{}
}{domains: map[string]struct{}{}}

// domainProblem is domainProblemOf, and does not look twice at a domain that is good.
func domainProblem(domain string) (reason, problem string) {
	good.RLock()
	_, known := good.domains[domain]
	good.RUnlock()
	if known {
		return "", ""
	}
	if reason, problem = domainProblemOf(domain); problem != "" {
		return reason, problem
	}
	good.Lock()
	defer good.Unlock()
	if len(good.domains) >= mostGood {
		clear(good.domains)
	}
	good.domains[domain] = struct{}{}
	return "", ""
}

// domainProblemOf says why a domain cannot be bound; both are empty when it can.
func domainProblemOf(domain string) (reason, problem string) {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil {
		return v1alpha1.ReasonInvalidDomain, fmt.Sprintf("%q is not a domain name (%v): write it as example.com", domain, err)
	}
	if ascii != domain && ascii == strings.ToLower(domain) {
		return v1alpha1.ReasonInvalidDomain, fmt.Sprintf("%q must be lower-case: write %s", domain, ascii)
	}
	if ascii != domain {
		return v1alpha1.ReasonInvalidDomain, fmt.Sprintf("%q must be written in its ASCII form (A-label): write %s", domain, ascii)
	}
	// The address of a person is written in the one way that identity knows; a domain that is none of those would bind nobody.
	if _, err := identity.NormaliseDomain(ascii); err != nil && strings.Contains(ascii, ".") {
		return v1alpha1.ReasonInvalidDomain, fmt.Sprintf("no e-mail address can have the domain %q: write it as example.com", ascii)
	}
	suffix, _ := publicsuffix.PublicSuffix(ascii)
	if suffix == ascii {
		return v1alpha1.ReasonPublicSuffix, fmt.Sprintf("%s is a public suffix: anybody can register a name below it. Bind your own domain, such as example.%s", ascii, ascii)
	}
	return "", ""
}
