package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/session"
)

func init() {
	suites = append(suites, suite{"flood", "p99 of good checks at 400/s, alone and beside a flood", floodSuite})
}

// A flood is what comes beside the good checks: so many connections, each at its own pace.
type flood struct {
	name        string
	next        func() []byte
	connections int
	every       time.Duration
}

// floodSuite looks at good checks at a steady pace while somebody sends what is refused. A flood of good checks at the same pace shows what of the
// difference is only the machine's being busier: the load shares its processors.
func floodSuite(ctx context.Context, o options) ([]Result, error) {
	ours, err := startServiceProvider(ctx, manySessions, 100_000)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	bad, err := badResponse()
	if err != nil {
		return nil, err
	}
	good := inTurns(ours.people.many)
	floods := []flood{
		{name: "alone"},
		{"beside 2000/s more good checks", good, 20, 10 * time.Millisecond},
		{"beside 2000/s cookies that nobody has", unknownCookie, 20, 10 * time.Millisecond},
		{"beside 40/s responses of a stranger", func() []byte { return bad }, 4, 100 * time.Millisecond},
	}
	seen := map[string][]float64{}
	for range rounds {
		for _, f := range floods {
			s, err := f.beside(load{Address: ours.address, Next: good, Status: http.StatusOK, Connections: 4, Duration: o.duration, Every: 10 * time.Millisecond})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			seen[f.name] = append(seen[f.name], float64(s.P99.Microseconds()))
		}
	}
	var results []Result
	for _, f := range floods {
		values := slices.Sorted(slices.Values(seen[f.name]))
		r := Result{Name: "p99, " + f.name, Value: values[rounds/2], Unit: "us", Low: values[0], High: values[rounds-1]}
		if f.name != "alone" {
			ratios := make([]float64, rounds)
			for i := range ratios {
				ratios[i] = seen[f.name][i] / seen["alone"][i]
			}
			slices.Sort(ratios)
			r.Against, r.Ratio = "alone", ratios[rounds/2]
		}
		results = append(results, r)
	}
	return results, nil
}

func (f flood) beside(good load) (stats, error) {
	var beside sync.WaitGroup
	var floodErr error
	if f.next != nil {
		beside.Go(func() {
			_, floodErr = load{Address: good.Address, Next: f.next, Connections: f.connections, Duration: good.Duration, Every: f.every}.run()
		})
	}
	s, err := good.run()
	beside.Wait()
	if err == nil {
		err = floodErr
	}
	return s, err
}

// unknownCookie is a cookie of the right form that no session has: each costs a read of the store.
func unknownCookie() []byte {
	token, _ := session.NewToken()
	return checkRequest(cookieName + token)
}

// badResponse is well formed and signed, by somebody whom nobody trusts.
func badResponse() ([]byte, error) {
	stranger, err := samltest.NewIdP("https://idp.example.com/okta", "https://idp.example.com/sso", "", time.Now())
	if err != nil {
		return nil, err
	}
	c := benchConnection()
	form, err := stranger.Form(samltest.Response{Now: time.Now(), ACS: c.ACSURL, Audience: c.EntityID, NameID: "alice", NameIDFormat: identity.FormatPersistent,
		Attributes: []samltest.Attribute{{Name: "email", Values: []string{"alice@acme.example"}}}})
	if err != nil {
		return nil, err
	}
	body := url.Values{"SAMLResponse": {form}, "RelayState": {strings.Repeat("a", 43)}}.Encode()
	return fmt.Appendf(nil, "POST /saml/okta/acs HTTP/1.1\r\nHost: sso.example.com\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body), nil
}
