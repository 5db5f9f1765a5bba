package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/snapshot"
)

const (
	// routingPairs is how many sign-ins are begun for an address that somebody has, and as many for one that nobody has.
	routingPairs = 4000
	// fewBindings and manyBindings are the bindings of one ServiceProvider.
	fewBindings, manyBindings = 10, 5000
)

func init() {
	suites = append(suites, suite{"routing", "From an address to its IdP: known and unknown people, few and many domain bindings", routingSuite})
}

// routingSuite begins sign-ins, one after another, for people in turns: known, unknown, known. The first of a pair is the other one each time, so that neither gains by its place.
func routingSuite(ctx context.Context, _ options) ([]Result, error) {
	few, err := routes(ctx, fewBindings)
	if err != nil {
		return nil, err
	}
	many, err := routes(ctx, manyBindings)
	if err != nil {
		return nil, err
	}
	results := []Result{}
	for _, quantile := range []struct {
		name string
		of   func(sorted []time.Duration) time.Duration
	}{{"p50", func(s []time.Duration) time.Duration { return s[len(s)/2] }}, {"p99", func(s []time.Duration) time.Duration { return s[len(s)*99/100] }}} {
		known, unknown, atFew := us(quantile.of(many.known)), us(quantile.of(many.unknown)), us(quantile.of(few.known))
		results = append(results,
			Result{Name: fmt.Sprintf("known address, %d bindings, %s", manyBindings, quantile.name), Value: known, Unit: "us", Against: fmt.Sprintf("%d bindings", fewBindings), Ratio: known / atFew},
			Result{Name: fmt.Sprintf("unknown address, %d bindings, %s", manyBindings, quantile.name), Value: unknown, Unit: "us", Against: "known address", Ratio: unknown / known},
			Result{Name: fmt.Sprintf("known address, %d bindings, %s", fewBindings, quantile.name), Value: atFew, Unit: "us"})
	}
	return results, nil
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// routed are the times of the answers, sorted.
type routed struct{ known, unknown []time.Duration }

// routes measures one service provider with so many domain bindings.
func routes(ctx context.Context, bindings int) (r routed, err error) {
	s := benchSnapshot()
	s.Connections = slices.Clone(s.Connections)
	s.Connections[0].CatchAll = false
	s.Domains = []snapshot.Domain{{Domain: "acme.example", Connection: "okta", Binding: "acme"}}
	for i := 1; i < bindings; i++ {
		name := fmt.Sprintf("tenant-%05d", i)
		s.Domains = append(s.Domains, snapshot.Domain{Domain: name + ".example", Subdomains: i%2 == 0, Connection: "okta", Binding: name})
	}
	ours, err := startServiceProviderWith(ctx, s, 2, 1000)
	if err != nil {
		return r, err
	}
	defer ours.stop()
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// alice has signed in before; fill sees to that. The other address is as long.
	for i := -100; i < routingPairs; i++ {
		addresses := []string{"alice@acme.example", "ecila@acme.example"}
		if i%2 != 0 {
			slices.Reverse(addresses)
		}
		for _, address := range addresses {
			took, err := begin(client, ours.address, address)
			if err != nil {
				return r, err
			}
			switch {
			case i < 0: // to get warm
			case strings.HasPrefix(address, "alice"):
				r.known = append(r.known, took)
			default:
				r.unknown = append(r.unknown, took)
			}
		}
	}
	slices.Sort(r.known)
	slices.Sort(r.unknown)
	return r, nil
}

// begin types an address, and returns how long it takes until the browser is sent to the IdP.
func begin(client *http.Client, address, email string) (time.Duration, error) {
	request, err := http.NewRequest(http.MethodPost, "http://"+address+"/signin", bytes.NewBufferString(url.Values{"email": {email}}.Encode()))
	if err != nil {
		return 0, err
	}
	request.Host = "sso.example.com"
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if location := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, "https://idp.example.com/sso") {
		return 0, fmt.Errorf("%s is answered with %d and sent to %q", email, response.StatusCode, location)
	}
	return took, nil
}
