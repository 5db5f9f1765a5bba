package controllers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/miekg/dns"
)

// ResolverOf returns a LookUpTXT that asks the given servers, host or host:port each, one after another until one answers. Without any it
// asks those of /etc/resolv.conf.
func ResolverOf(servers []string) (LookUpTXT, error) {
	if len(servers) == 0 {
		config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return nil, fmt.Errorf("reading the DNS servers: %w: name them with --dns-resolver", err)
		}
		for _, server := range config.Servers {
			servers = append(servers, net.JoinHostPort(server, config.Port))
		}
	}
	for i, server := range servers {
		if _, _, err := net.SplitHostPort(server); err != nil {
			servers[i] = net.JoinHostPort(strings.Trim(server, "[]"), "53")
		}
	}
	return func(ctx context.Context, name string) ([]string, bool, error) {
		err := errors.New("there is no DNS server to ask")
		for _, server := range servers {
			var records []string
			var found bool
			if records, found, err = askTXT(ctx, server, name); err == nil {
				return records, found, nil
			}
		}
		return nil, false, err
	}, nil
}

// askTXT asks one server, over UDP and over TCP when the answer does not fit (RFC 1035, RFC 7766). Errors are for people, and quote nothing
// that a server sent.
func askTXT(ctx context.Context, server, name string) (records []string, found bool, err error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT).SetEdns0(1232, false)
	client := &dns.Client{}
	answer, _, err := client.ExchangeContext(ctx, question, server)
	if err == nil && answer.Truncated {
		client.Net = "tcp"
		answer, _, err = client.ExchangeContext(ctx, question, server)
	}
	if err != nil {
		return nil, false, errors.New("the DNS server did not answer")
	}
	switch answer.Rcode {
	case dns.RcodeNameError:
		return nil, false, nil
	case dns.RcodeSuccess:
	default:
		return nil, false, fmt.Errorf("the DNS server answered %s", dns.RcodeToString[answer.Rcode])
	}
	for _, record := range answer.Answer {
		if txt, ok := record.(*dns.TXT); ok {
			records = append(records, strings.Join(txt.Txt, ""))
		}
	}
	return records, len(records) > 0, nil
}
