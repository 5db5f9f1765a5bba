package authz

import (
	"errors"
	"net/url"
	"strings"

	"sallyport.dev/sallyport/internal/session"
)

// requirement is what the proxy's own configuration asks of the person, besides being signed in. It is written in the query:
// groups=a,b (any of them), idp=name (any of them, with commas), preflight=allow. A parameter that is there and empty is met by nobody.
type requirement struct {
	groups, idps       string
	hasGroups, hasIdPs bool
	preflight          bool
}

var errRequirement = errors.New("the check's address has a parameter that is not understood: groups, idp and preflight=allow are, each once")

// errUnknownOriginal says what a proxy is missing where access rules need to know the request.
var errUnknownOriginal = errors.New("the service provider has access rules, and the proxy does not say which request it asks about: send X-Original-URL and X-Original-Method " +
	"(nginx) or X-Forwarded-Method, -Proto, -Host and -Uri, from an address among proxies.trusted")

// errUnknownHost says the same where there is a signed header.
var errUnknownHost = errors.New("a token is for one application, and the proxy does not say which host it asks about: send X-Original-URL and X-Original-Method " +
	"(nginx) or X-Forwarded-Method, -Proto, -Host and -Uri, from an address among proxies.trusted")

// parseRequirement reads the query. What it does not understand is an error, since a misspelt restriction must not become none.
// It allocates only where something is percent-encoded.
func parseRequirement(query string) (requirement, error) {
	var r requirement
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		if strings.ContainsAny(value, "%+") {
			decoded, err := url.QueryUnescape(value)
			if err != nil {
				return requirement{}, errRequirement
			}
			value = decoded
		}
		if !r.add(name, value) {
			return requirement{}, errRequirement
		}
	}
	return r, nil
}

// add takes one parameter in, and says whether it is understood.
func (r *requirement) add(name, value string) bool {
	switch {
	case name == "groups" && !r.hasGroups:
		r.groups, r.hasGroups = value, true
	case name == "idp" && !r.hasIdPs:
		r.idps, r.hasIdPs = value, true
	case name == "preflight" && value == "allow":
		r.preflight = true
	default:
		return false
	}
	return true
}

func (r *requirement) met(current *session.Session, idp string) bool {
	return (!r.hasGroups || inList(r.groups, current.InGroup)) &&
		(!r.hasIdPs || inList(r.idps, func(name string) bool { return name == idp }))
}

// inList says whether any non-empty item of a comma-separated list fits.
func inList(list string, fits func(item string) bool) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if item = strings.TrimSpace(item); item != "" && fits(item) {
			return true
		}
	}
	return false
}
