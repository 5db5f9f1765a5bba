package compile

import (
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// allowMatching stands in the snapshot where a rule names groups, users or IdPs.
const allowMatching = "Matching"

// accessOf keeps the order of the rules, which decides; the lists within a rule are sets.
func accessOf(spec *v1alpha1.AccessSettings) *snapshot.Access {
	if spec == nil {
		return nil
	}
	out := &snapshot.Access{}
	for _, r := range spec.Rules {
		rule := snapshot.AccessRule{
			Hosts: sorted(r.Hosts), PathPrefixes: sorted(r.PathPrefixes), Methods: sorted(r.Methods), Allow: string(or(r.Allow, allowMatching)),
			Groups: sorted(r.Groups), IdentityProviders: sorted(r.IdentityProviders),
		}
		for _, user := range sorted(r.Users) {
			rule.Users = append(rule.Users, strings.ToLower(user))
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func sorted[T ~string](values []T) []string {
	out := plain(values)
	slices.Sort(out)
	return out
}
