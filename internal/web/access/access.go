// Package access says who may enter which host and path: the access section of a service provider, compiled. The first rule that matches decides;
// what no rule names is denied.
package access

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
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
	Index                 int
	hosts, paths, methods []string
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
			Index: i, hosts: lower(r.Hosts), paths: r.PathPrefixes, methods: r.Methods, Public: r.Allow == "Public", SignedIn: r.Allow == "SignedIn",
			groups: r.Groups, identityProviders: r.IdentityProviders, users: lower(r.Users),
		}
		if !compiled.Public && !compiled.SignedIn && r.Allow != "Matching" {
			return nil, fmt.Errorf("access.rules[%d].allow is %q: Public, SignedIn and Matching are known", i, cmp.Or(r.Allow, "empty"))
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
	host := withoutPort(o.Host)
	requested, plain := plainPath(o.Path())
	for _, r := range a.rules {
		if !r.matchesHost(o.Host, host) || len(r.methods) > 0 && !slices.Contains(r.methods, o.Method) {
			continue
		}
		if len(r.paths) == 0 {
			return r
		}
		if !plain {
			// The application may read this path as another one: no rule about paths can be trusted with it, and neither can those after.
			return nil
		}
		if slices.ContainsFunc(r.paths, func(prefix string) bool { return below(requested, prefix) }) {
			return r
		}
	}
	return nil
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

// below says whether a path is the prefix or lies under it: /admin covers /admin and /admin/x, not /administrator.
func below(requested, prefix string) bool {
	rest, ok := strings.CutPrefix(requested, prefix)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(prefix, "/"))
}

// plainPath decodes a path. It is not plain when some server between here and the application could read it in two ways: dots and empty segments
// that are resolved, encoded slashes, backslashes, path parameters, or an escape that does not decode.
func plainPath(raw string) (decoded string, plain bool) {
	decoded, err := url.PathUnescape(raw)
	if err != nil || strings.ContainsAny(decoded, "\\;\x00") || strings.Contains(strings.ToLower(raw), "%2f") || strings.Contains(decoded, "%") {
		return "", false
	}
	clean := path.Clean(decoded)
	if strings.HasSuffix(decoded, "/") && clean != "/" {
		clean += "/"
	}
	return decoded, clean == decoded
}

func withoutPort(host string) string {
	at := strings.LastIndexByte(host, ':')
	if at < 0 || strings.HasSuffix(host, "]") {
		return host
	}
	return host[:at]
}
