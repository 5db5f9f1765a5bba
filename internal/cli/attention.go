package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// concern is one thing that needs attention. The lower its rank, the more people it keeps out.
type concern struct {
	Object  string `json:"object"`
	What    string `json:"what"`
	Message string `json:"message"`
	rank    int
}

// Ranks of concerns: a service provider that serves nobody, a connection that does not work, the rest, what will matter soon.
const (
	rankServiceProvider = iota
	rankConnection
	rankOther
	rankSoon
)

// attention is what is not as it should be, the worst first. Conditions that only repeat another one are left out.
func attention(e *estate, now time.Time) []concern {
	all := []concern{} // in JSON a list, also when it is empty
	for i := range e.ServiceProviders {
		sp := &e.ServiceProviders[i]
		all = append(all, concernsOf("sp/"+sp.Name, rankServiceProvider, sp.Status.Conditions, nil)...)
		for _, p := range e.Pods[sp.Name] {
			if !p.Ready && p.State != "Terminating" {
				all = append(all, concern{"pod/" + p.Name, p.State, fmt.Sprintf("see `kubectl -n %[1]s describe pod %[2]s` and `kubectl -n %[1]s logs %[2]s`", e.Namespace, p.Name), rankOther})
			}
		}
	}
	for i := range e.IdentityProviders {
		idp := &e.IdentityProviders[i]
		all = append(all, concernsOf("idp/"+idp.Name, rankConnection, idp.Status.Conditions, append(e.told(idp), v1alpha1.ReasonDisabled))...)
		all = append(all, ending(idp, now)...)
	}
	for i := range e.DomainBindings {
		b := &e.DomainBindings[i]
		all = append(all, concernsOf("domainbinding/"+b.Name, rankOther, b.Status.Conditions, e.told(e.idp(b.Spec.IdentityProviderRef)))...)
	}
	for i := range e.AttributeMappings {
		m := &e.AttributeMappings[i]
		all = append(all, concernsOf("attributemapping/"+m.Name, rankOther, m.Status.Conditions, e.told(e.idp(m.Spec.IdentityProviderRef)))...)
	}
	slices.SortStableFunc(all, func(a, b concern) int { return cmp.Compare(a.rank, b.rank) })
	return all
}

// told are the reasons about pods that the ServiceProvider of an IdentityProvider has itself: one concern, and not one for each of its objects.
func (e *estate) told(idp *v1alpha1.IdentityProvider) []string {
	var reasons []string
	for i := range e.ServiceProviders {
		sp := &e.ServiceProviders[i]
		if idp == nil || sp.Name != string(idp.Spec.ServiceProviderRef.Name) {
			continue
		}
		for _, c := range sp.Status.Conditions {
			if c.Status != metav1.ConditionTrue && (c.Reason == v1alpha1.ReasonNoReadyPods || c.Reason == v1alpha1.ReasonWaitingForPods) {
				reasons = append(reasons, c.Reason)
			}
		}
	}
	return reasons
}

// idp is the IdentityProvider that a reference names, nil when it is not there.
func (e *estate) idp(ref v1alpha1.IdentityProviderReference) *v1alpha1.IdentityProvider {
	for i := range e.IdentityProviders {
		if e.IdentityProviders[i].Name == string(ref.Name) {
			return &e.IdentityProviders[i]
		}
	}
	return nil
}

// concernsOf are the conditions of an object that are not as they should be. One that only says that others are not is left out where those are told.
func concernsOf(object string, rank int, conditions []metav1.Condition, meant []string) []concern {
	var causes, sums []concern
	for _, c := range conditions {
		bad := c.Status != metav1.ConditionTrue
		if c.Type == v1alpha1.ConditionDeletionBlocked {
			bad = c.Status == metav1.ConditionTrue
		}
		if !bad || slices.Contains(meant, c.Reason) {
			continue
		}
		found := concern{object, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason), c.Message, rank}
		if c.Type == v1alpha1.ConditionReady || c.Reason == v1alpha1.ReasonDependent || c.Reason == v1alpha1.ReasonPending {
			sums = append(sums, found)
		} else {
			causes = append(causes, found)
		}
	}
	if len(causes) == 0 && len(sums) > 0 {
		// Ready comes last and says it best.
		return sums[len(sums)-1:]
	}
	return withoutEchoes(causes)
}

// withoutEchoes leaves out what only follows from another concern of an object: the same sentence again, that the pods do not serve it, and what no pod can say
// where none is available.
func withoutEchoes(causes []concern) []concern {
	available := v1alpha1.ConditionAvailable + "="
	noPods := slices.ContainsFunc(causes, func(c concern) bool { return strings.HasPrefix(c.What, available) })
	var kept []concern
	for i, c := range causes {
		follows := i > 0 && strings.HasSuffix(c.What, " "+v1alpha1.ReasonNotServed) ||
			noPods && strings.HasSuffix(c.What, " "+v1alpha1.ReasonNoReadyPods) && !strings.HasPrefix(c.What, available)
		if follows || slices.ContainsFunc(kept, func(k concern) bool { return k.Message == c.Message }) {
			continue
		}
		kept = append(kept, c)
	}
	return kept
}

// ending are the certificates of the IdP and of ours that end soon, where no other one goes on after them. CertificatesValid tells of those that have ended.
func ending(idp *v1alpha1.IdentityProvider, now time.Time) []concern {
	last := map[string]time.Time{}
	for _, c := range idp.Status.Certificates {
		if c.Use != v1alpha1.CertificateUseEncryption && c.NotAfter.After(last["the IdP's signing certificate"]) {
			last["the IdP's signing certificate"] = c.NotAfter.Time
		}
	}
	for _, c := range ours(idp) {
		if c.NotAfter.After(last["the SP certificate"]) {
			last["the SP certificate"] = c.NotAfter.Time
		}
	}
	next := map[string]string{
		"the IdP's signing certificate": "ask the IdP's administrator for the next one; with metadata by URL it is picked up automatically",
		"the SP certificate":            "kubectl sso rotate idp/" + idp.Name + " -n " + idp.Namespace + ", and have the IdP read the SP metadata again",
	}
	var all []concern
	for _, which := range sortedKeys(last) {
		if left := last[which].Sub(now); left > 0 && left <= soon {
			all = append(all, concern{"idp/" + idp.Name, fmt.Sprintf("%s expires in %s", which, plural(int(left/(24*time.Hour)), "day", "days")),
				fmt.Sprintf("It expires on %s: %s", last[which].UTC().Format(time.DateOnly), next[which]), rankSoon})
		}
	}
	return all
}
