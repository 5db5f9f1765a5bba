package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/proxy"
)

// Person is somebody who is signed in.
type Person struct {
	// Email is in lower case, as sessions hold it. IdentityProvider is the name of the IdP that they signed in through.
	Email, IdentityProvider string
	Groups                  []string
}

func (p *Person) in(group string) bool { return slices.Contains(p.Groups, group) }

// Outcome is what the proxy is told.
type Outcome string

// The outcomes.
const (
	// Allowed lets the request pass; signed-out people pass too where the rule is Public.
	Allowed Outcome = "Allowed"
	// SignIn sends a page to sign in and answers a call with 401.
	SignIn Outcome = "SignIn"
	// Denied answers 403.
	Denied Outcome = "Denied"
)

// Decision is the outcome for one request, and why.
type Decision struct {
	Outcome Outcome
	// Rule is the place of the rule in spec.access.rules, from 0; -1 when no rule decided.
	Rule int
	// Why is a sentence that names the rule and what in it decided.
	Why string
}

// Explain decides about a request as the proxies' checks do, and says why. section is that of the snapshot, nil for none. person is nil for
// somebody who is signed out. method is GET when it is empty. An error means that the URL is not one that a browser could ask for.
func Explain(section *snapshot.Access, method, address string, person *Person) (Decision, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return Decision{}, errors.New("the URL must be absolute, such as https://app.example.com/reports")
	}
	a, err := Compile(section)
	if err != nil {
		return Decision{}, err
	}
	if method == "" {
		method = http.MethodGet
	}
	if a == nil {
		if person == nil {
			return Decision{SignIn, -1, "There are no access rules: everybody who is signed in may enter, and nobody is signed in."}, nil
		}
		return Decision{Allowed, -1, "There are no access rules: everybody who is signed in may enter. The proxy itself may ask for groups or IdPs."}, nil
	}
	original := proxy.Original{Method: method, Scheme: u.Scheme, Host: strings.ToLower(u.Host), URI: u.RequestURI()}
	rule, unclear := a.match(original)
	if unclear != nil {
		return Decision{Denied, -1, unclear.whyUnclear(original)}, nil
	}
	if rule == nil {
		return Decision{Denied, -1, a.whyNone(original)}, nil
	}
	return rule.decide(person), nil
}

func (r *Rule) decide(person *Person) Decision {
	name := fmt.Sprintf("Rule %d (%s)", r.Index+1, r.describe())
	switch {
	case r.Public:
		return Decision{Allowed, r.Index, name + " matches first and lets everybody pass."}
	case person == nil:
		return Decision{SignIn, r.Index, name + " matches first and wants somebody who is signed in."}
	case r.Admits(person.in, person.IdentityProvider, person.Email):
		return Decision{Allowed, r.Index, name + " matches first and lets " + person.Email + " pass."}
	default:
		return Decision{Denied, r.Index, name + " matches first and does not let " + person.Email + " pass: it wants " + r.audience() + "."}
	}
}

// describe is the rule's left side in short.
func (r *Rule) describe() string {
	parts := []string{"hosts " + strings.Join(r.hosts, ", ")}
	if len(r.paths) > 0 {
		parts = append(parts, "paths "+strings.Join(r.prefixes(), ", "))
	}
	if len(r.methods) > 0 {
		parts = append(parts, "methods "+strings.Join(r.methods, ", "))
	}
	return strings.Join(parts, "; ")
}

func (r *Rule) prefixes() []string {
	var list []string
	for _, p := range r.paths {
		list = append(list, p.exact)
	}
	return list
}

// whyUnclear says why a request is denied that may be one of the rule's.
func (r *Rule) whyUnclear(o proxy.Original) string {
	name := fmt.Sprintf("Rule %d (%s)", r.Index+1, r.describe())
	if readPath(o.Path()).unclear {
		return name + " cannot be asked about this path: programs read it in different ways (dots, doubled or encoded slashes, semicolons, invisible characters). It is denied."
	}
	return name + " does not match as it is written, but some programs take this path or method for one of those (another case, something added to the end). It is denied. " +
		"If the application tells them apart, write a rule that names this one before it."
}

// audience says who passes, where lists decide.
func (r *Rule) audience() string {
	var either []string
	if len(r.groups) > 0 {
		either = append(either, "one of the groups "+strings.Join(r.groups, ", "))
	}
	if len(r.users) > 0 {
		either = append(either, "one of the users "+strings.Join(r.users, ", "))
	}
	who := strings.Join(either, " or ")
	if len(r.identityProviders) > 0 {
		from := "a sign-in through " + strings.Join(r.identityProviders, " or ")
		if who == "" {
			return from
		}
		who += ", and " + from
	}
	return who
}

func (a *Access) whyNone(o proxy.Original) string {
	host := withoutPort(o.Host)
	for _, r := range a.rules {
		if !r.matchesHost(o.Host, host) {
			continue
		}
		return "Rules name the host " + host + ", but none of them matches this path and method. What no rule matches is denied."
	}
	return "No rule names the host " + host + ". Where there are access rules, what no rule matches is denied."
}
