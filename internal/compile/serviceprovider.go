package compile

import (
	"net/url"
	"slices"

	"golang.org/x/net/publicsuffix"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// serviceProvider returns the settings to serve, or nil when there are none.
func (p *pass) serviceProvider() *snapshot.ServiceProvider {
	sp := p.in.ServiceProvider
	if sp == nil {
		return nil
	}
	f := p.finding(v1alpha1.KindServiceProvider, sp)
	if problem := serviceProviderProblem(sp.Spec); problem != "" {
		f.refuse(v1alpha1.ReasonInvalid, "%s", problem)
		if p.in.Previous == nil {
			return nil
		}
		f.Serving = ServingLastGood
		last := p.in.Previous.ServiceProvider
		return &last
	}
	f.accept()
	settings := settingsOf(sp)
	settings.AuditSinks = p.sinks(f, sp)
	if problem := p.in.Store; problem.Reason != "" {
		f.set(v1alpha1.ConditionAccepted, "False", problem.Reason, "%s", problem.Message)
	}
	if WantsSignedHeader(sp) && len(p.in.HeaderKeys) > 0 {
		settings.SignedHeader = &snapshot.SignedHeader{Keys: p.in.HeaderKeys}
	}
	return &settings
}

// WantsSignedHeader tells whether the applications of a ServiceProvider get the signed header.
func WantsSignedHeader(sp *v1alpha1.ServiceProvider) bool {
	return sp.Spec.SignedHeader != nil && sp.Spec.SignedHeader.State != v1alpha1.StateDisabled
}

// serviceProviderProblem says what the schema cannot: empty when all is well.
func serviceProviderProblem(spec v1alpha1.ServiceProviderSpec) string {
	base, err := url.Parse(spec.URL)
	if err != nil || base.Scheme != "https" || base.Hostname() == "" || base.User != nil || base.Path != "" || base.RawQuery != "" || base.Fragment != "" {
		return "spec.url must be https:// and a host, with nothing after it: write https://sso.example.com"
	}
	if domain := spec.Session.Cookie.Domain; domain != "" {
		if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
			return "spec.session.cookie.domain: " + domain + " is a public suffix, and a browser refuses a cookie for everybody below it: write your own domain below " + domain
		}
	}
	return ""
}

func settingsOf(sp *v1alpha1.ServiceProvider) snapshot.ServiceProvider {
	spec := sp.Spec
	settings := snapshot.ServiceProvider{
		Namespace: sp.Namespace, Name: sp.Name, UID: uid(sp.UID), Generation: sp.Generation, URL: spec.URL,
		Session: snapshot.Session{
			Lifetime:     spec.Session.Lifetime.Or(v1alpha1.DefaultSessionLifetime),
			IdleTimeout:  spec.Session.IdleTimeout.Or(v1alpha1.DefaultSessionIdleTimeout),
			CookieDomain: spec.Session.Cookie.Domain,
			SameSite:     string(or(spec.Session.Cookie.SameSite, v1alpha1.SameSiteLax)),
		},
		DebugLog: snapshot.DebugLog{
			Retention:  spec.DebugLog.Retention.Or(v1alpha1.DefaultDebugRetention),
			MaxEntries: int(or(spec.DebugLog.MaxEntries, v1alpha1.DefaultDebugMaxEntries)),
		},
		AuditRetention: spec.Audit.Retention.Or(v1alpha1.DefaultAuditRetention),
	}
	if spec.Responses != nil {
		settings.MaxResponseBytes = int(spec.Responses.MaxBytes)
	}
	if spec.Redirects != nil {
		settings.AllowedHosts = plain(spec.Redirects.AllowedHosts)
	}
	if spec.Proxies != nil {
		settings.TrustedProxies = plain(spec.Proxies.Trusted)
	}
	settings.Access = accessOf(spec.Access)
	if spec.Admins != nil {
		settings.AdminGroups, settings.AdminIdentityProviders = sorted(spec.Admins.Groups), sorted(spec.Admins.IdentityProviders)
	}
	for _, a := range spec.ProfileAttributes {
		settings.ProfileAttributes = append(settings.ProfileAttributes, snapshot.ProfileAttribute{Name: string(a.Name), Mirror: a.Mirror != v1alpha1.StateDisabled})
	}
	// The lists are sets: their order in the manifest must not make another revision.
	slices.Sort(settings.AllowedHosts)
	slices.Sort(settings.TrustedProxies)
	slices.SortFunc(settings.ProfileAttributes, func(a, b snapshot.ProfileAttribute) int { return compareNames(a.Name, b.Name) })
	return settings
}

// or returns value, or fallback when value is the zero value: left out in the manifest and not filled in by the API server.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

func plain[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}
