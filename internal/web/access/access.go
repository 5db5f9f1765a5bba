// Package access says who may enter which host and path: the access section of a service provider, compiled. The first rule that matches decides;
// what no rule names is denied.
package access

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/proxy"
)

// Access is immutable and safe for concurrent use. Its nil value has no rules and must not be asked.
type Access struct {
	rules []*Rule
}

// Rule is one rule.
type Rule struct {
	// Index is its place in the section, from 0.
	Index          int
	hosts, methods []string
	paths          []prefix
	// Public lets everybody pass, SignedIn everybody who is signed in; with neither, the lists decide.
	Public, SignedIn                 bool
	groups, identityProviders, users []string
}

// Compile reads the section; nil gives nil. A rule whose Allow is not known is an error, because nothing can be guessed from it.
func Compile(section *snapshot.Access) (*Access, error) {
	if section == nil {
		return nil, nil
	}
	a := &Access{}
	for i, r := range section.Rules {
		compiled := &Rule{
			Index: i, hosts: lower(r.Hosts), methods: r.Methods, Public: r.Allow == "Public", SignedIn: r.Allow == "SignedIn",
			groups: r.Groups, identityProviders: r.IdentityProviders, users: lower(r.Users),
		}
		if !compiled.Public && !compiled.SignedIn && r.Allow != "Matching" {
			return nil, fmt.Errorf("access.rules[%d].allow is %q: Public, SignedIn and Matching are known", i, cmp.Or(r.Allow, "empty"))
		}
		for _, p := range r.PathPrefixes {
			compiled.paths = append(compiled.paths, newPrefix(p, compiled.Public))
		}
		a.rules = append(a.rules, compiled)
	}
	return a, nil
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// Match finds the rule that decides about a request; nil denies it.
func (a *Access) Match(o proxy.Original) *Rule {
	rule, _ := a.match(o)
	return rule
}

// match also returns the rule that a request is denied for because it cannot be told whether the application would take it for one of that rule's.
func (a *Access) match(o proxy.Original) (rule, unclear *Rule) {
	host := withoutPort(o.Host)
	requested := readPath(o.Path())
	for _, r := range a.rules {
		if !r.matchesHost(o.Host, host) {
			continue
		}
		switch fits := min(r.fitsMethod(o.Method), r.fitsPath(&requested)); {
		case fits == yes:
			return r, nil
		case fits == perhaps && (!r.Public || requested.unclear):
			// Neither this rule nor those after it can be trusted with the request. One that lets everybody pass can be passed over: no other is laxer.
			return nil, r
		}
	}
	return nil, nil
}

// fit says whether a request is one of a rule's.
type fit int

const (
	no fit = iota
	// perhaps: exactly as it is written it is not, but there are programs that would take it for one.
	perhaps
	yes
)

func (r *Rule) fitsMethod(method string) fit {
	switch {
	case len(r.methods) == 0 || slices.Contains(r.methods, method):
		return yes
	case slices.ContainsFunc(r.methods, func(m string) bool { return strings.EqualFold(m, method) }):
		return perhaps
	}
	return no
}

func (r *Rule) fitsPath(requested *readings) fit {
	if len(r.paths) == 0 {
		return yes
	}
	if requested.unclear {
		return perhaps
	}
	best := no
	for i := range r.paths {
		best = max(best, r.paths[i].fits(requested))
	}
	return best
}

func (r *Rule) matchesHost(full, host string) bool {
	return slices.ContainsFunc(r.hosts, func(pattern string) bool {
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
			return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
		}
		return pattern == host || pattern == full
	})
}

// Admits says whether somebody who is signed in may pass. Where groups or users are named, one of them must fit; where IdPs are named, the person
// must come from one of them, so that no other IdP can name its people into a group. A rule that names nothing admits nobody. inGroup tells of a group
// whether the person is in it.
func (r *Rule) Admits(inGroup func(string) bool, identityProvider, email string) bool {
	if r.Public || r.SignedIn {
		return true
	}
	if len(r.identityProviders) > 0 && !slices.Contains(r.identityProviders, identityProvider) {
		return false
	}
	if len(r.groups) == 0 && len(r.users) == 0 {
		return len(r.identityProviders) > 0
	}
	return slices.Contains(r.users, email) || slices.ContainsFunc(r.groups, inGroup)
}

func withoutPort(host string) string {
	at := strings.LastIndexByte(host, ':')
	if at < 0 || strings.HasSuffix(host, "]") {
		return host
	}
	return host[:at]
}
