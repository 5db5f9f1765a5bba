package admin

import (
	"cmp"
	"crypto/x509"
	"net/url"
	"slices"
	"time"

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/site"
)

const (
	// failuresShown is how many refused responses the overview shows.
	failuresShown = 5
	// endsSoon is how long before its end a certificate is pointed out.
	endsSoon = 30 * 24 * time.Hour
)

func (v *visit) overview() error {
	var counted manageapi.Stats
	if err := v.get("/stats", nil, &counted); err != nil {
		return err
	}
	var activity manageapi.ActivityReport
	if err := v.get("/activity", url.Values{"hours": {"24"}}, &activity); err != nil {
		return err
	}
	failures, err := v.recentFailures(url.Values{"limit": {"50"}}, failuresShown)
	if err != nil {
		return err
	}
	page := pages.AdminOverview{Users: counted.Users, Sessions: counted.ActiveSessions, Failures: failures}
	for _, c := range v.s.Snapshot.Connections {
		connection := v.connection(c)
		known := counted.IdPs[site.UIDOf(c)]
		connection.Users, connection.Sessions, connection.LastSignIn = known.Users, known.Sessions, pages.At(known.LastSignIn)
		page.Connections = append(page.Connections, connection)
	}
	for _, a := range activity.Items {
		page.Charts = append(page.Charts, pages.NewChart(v.label(a.IdP), activity.First, a.SignIns, a.Failures))
	}
	slices.SortFunc(page.Charts, func(a, b pages.Chart) int {
		return cmp.Or(cmp.Compare(b.SignIns+b.Failures, a.SignIns+a.Failures), cmp.Compare(a.Title, b.Title))
	})
	return v.page("overview", page)
}

// label is what people know an IdP by.
func (v *visit) label(name string) string {
	if c := v.s.Connection(name); c != nil {
		return c.Label()
	}
	return name
}

// connection is a connection with its health.
func (v *visit) connection(c snapshot.Connection) pages.AdminConnection {
	now := v.Clock.Now()
	out := pages.AdminConnection{Name: c.Name, Label: cmp.Or(c.DisplayName, c.Name), Type: c.Type, State: "Serving", Good: true, TrustURL: "/saml/" + c.Name}
	switch {
	case v.s.Connection(c.Name) == nil:
		out.State, out.Good = "Cannot be served", false
	case c.Trust == nil:
		out.State, out.Good = "Waiting for metadata", false
	case !c.Enabled:
		out.State, out.Good = "Disabled", false
	}
	for _, d := range v.s.Snapshot.Domains {
		if d.Connection == c.Name {
			out.Domains = append(out.Domains, d.Domain)
		}
	}
	if c.CatchAll {
		out.Domains = append(out.Domains, "every other domain")
	}
	if c.Trust != nil {
		out.Expiries = append(out.Expiries, expiry("The IdP's certificate", now, c.Trust.SigningCertificates...))
	}
	for _, k := range c.Keys {
		if k.Phase == snapshot.KeyCurrent {
			out.Expiries = append(out.Expiries, expiry("The SP certificate", now, k.Certificate))
		}
	}
	return out
}

// expiry is the last end among certificates: until then at least one of them is good.
func expiry(label string, now time.Time, ders ...[]byte) pages.Expiry {
	var last time.Time
	for _, der := range ders {
		if c, err := x509.ParseCertificate(der); err == nil && c.NotAfter.After(last) {
			last = c.NotAfter
		}
	}
	e := pages.Expiry{Label: label, At: pages.On(last)}
	switch {
	case now.After(last):
		e.Warning = "expired"
	case last.Sub(now) < endsSoon:
		e.Warning = "expires soon"
	}
	return e
}
