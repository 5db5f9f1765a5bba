// Package returnurl decides where a browser may be sent after sign-in or sign-out. It refuses everything that a browser would have to repair
// before following it, so that what was checked here is what the browser does (https://url.spec.whatwg.org).
package returnurl

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// MaxLength bounds a return URL, in bytes.
const MaxLength = 8 << 10

// Policy is the allow-list of one service provider. It is immutable and safe for concurrent use.
type Policy struct {
	self  *url.URL
	port  string
	hosts map[string]bool
	// suffixes are ".example.com" for "*.example.com", with the port (or "") that goes with it.
	suffixes []wildcard
}

type wildcard struct{ suffix, port string }

// New takes the service provider's own URL and the hosts to allow besides it: "app.example.com", "*.example.com" (every depth below, not the domain
// itself), each with an optional ":port". Without a port the entry stands for port 443 and for the port of the service provider itself.
func New(self string, allowed []string) (*Policy, error) {
	u, err := url.Parse(self)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("url: %q is not an absolute https URL", self)
	}
	p := &Policy{self: &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, port: portOf(u), hosts: map[string]bool{}}
	for i, entry := range allowed {
		host, port, err := splitEntry(strings.ToLower(entry))
		if err != nil {
			return nil, fmt.Errorf("allowedHosts[%d]: %w", i, err)
		}
		ports := []string{port}
		if port == "" {
			ports = []string{"443", p.port}
		}
		for _, port := range ports {
			if base, ok := strings.CutPrefix(host, "*"); ok {
				p.suffixes = append(p.suffixes, wildcard{base, port})
			} else {
				p.hosts[host+":"+port] = true
			}
		}
	}
	return p, nil
}

func splitEntry(entry string) (host, port string, err error) {
	host = entry
	if at := strings.LastIndexByte(entry, ':'); at >= 0 && !strings.HasSuffix(entry, "]") {
		host, port = entry[:at], entry[at+1:]
	}
	name := strings.TrimPrefix(host, "*.")
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil || !plainHost(name) {
		return "", "", fmt.Errorf("%q is not a host name, nor *. and a domain", entry)
	}
	return host, port, nil
}

// Errors of Check. They are for people and say which rule was broken.
var (
	errEmpty   = errors.New("the return URL is empty")
	errLong    = fmt.Errorf("the return URL is longer than %d bytes", MaxLength)
	errShape   = errors.New("the return URL has a character that browsers rewrite: a control character, a space, a backslash or one outside ASCII")
	errParse   = errors.New("the return URL cannot be parsed")
	errUser    = errors.New("the return URL carries a user name")
	errScheme  = errors.New("the return URL is not https")
	errHost    = errors.New("the return URL's host is not plain")
	errAllowed = errors.New("the return URL's host is not among the allowed hosts")
)

// Check returns the URL in the form to redirect to: absolute, written from its parsed parts. A path that starts with one slash is taken on the
// service provider itself.
func (p *Policy) Check(raw string) (string, error) {
	switch {
	case raw == "":
		return "", errEmpty
	case len(raw) > MaxLength:
		return "", errLong
	case !plain(raw):
		return "", errShape
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", errParse
	}
	if strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") {
		u.Scheme, u.Host = p.self.Scheme, p.self.Host
		return written(u)
	}
	if u.Opaque != "" || u.Host == "" || strings.HasSuffix(u.Host, ":") {
		return "", errParse
	}
	if u.User != nil || strings.Contains(u.Host, "@") {
		return "", errUser
	}
	u.Host = strings.ToLower(u.Host)
	if u.Scheme == p.self.Scheme && u.Host == p.self.Host {
		return written(u)
	}
	if u.Scheme != "https" {
		return "", errScheme
	}
	if !p.allows(u) {
		if !plainHost(u.Hostname()) {
			return "", errHost
		}
		return "", errAllowed
	}
	return written(u)
}

// written is the URL as it is sent. What is escaped in it may make it longer than it came, and it is checked again when it is used.
func written(u *url.URL) (string, error) {
	s := u.String()
	if len(s) > MaxLength {
		return "", errLong
	}
	return s, nil
}

// AllowsHost says whether a page of this host (with its port, if any) may be returned to.
func (p *Policy) AllowsHost(host string) bool {
	_, err := p.Check("https://" + host + "/")
	return err == nil
}

func (p *Policy) allows(u *url.URL) bool {
	host, port := u.Hostname(), portOf(u)
	if !plainHost(host) {
		return false
	}
	if p.hosts[host+":"+port] {
		return true
	}
	for _, w := range p.suffixes {
		if w.port == port && len(host) > len(w.suffix) && strings.HasSuffix(host, w.suffix) {
			return true
		}
	}
	return false
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

// plain holds for printable ASCII without space and backslash: the characters that every URL parser leaves as they are.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// plainHost holds for lower-case names of letters, digits, hyphens and single inner dots (A-labels for other scripts), and for IP addresses in their usual form.
// Hosts that browsers read as a number in disguise, such as 0x7f.1, end in a label that starts with a digit and are refused.
func plainHost(host string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return len(host) <= 253 && (last[0] < '0' || last[0] > '9')
}

// FromQuery takes the return URL out of a request's raw query and gives back the other parameters. nginx cannot escape, so that
// "?rd=https://$host$request_uri" arrives as it stands: then everything after "rd=" belongs to the URL, and rd has to come last.
// An escaped value ends at the next "&", as usual.
func FromQuery(rawQuery string) (rd string, others url.Values) {
	at := strings.Index("&"+rawQuery, "&rd=")
	if at < 0 {
		others, _ = url.ParseQuery(rawQuery)
		return "", others
	}
	value := rawQuery[at+len("rd="):]
	if strings.HasPrefix(value, "https://") || strings.HasPrefix(value, "http://") {
		others, _ = url.ParseQuery(strings.TrimSuffix(rawQuery[:at], "&"))
		return value, others
	}
	value, rest, _ := strings.Cut(value, "&")
	others, _ = url.ParseQuery(rawQuery[:at] + rest)
	decoded, err := url.QueryUnescape(value)
	if err != nil {
		// Check refuses it, because a percent sign without two digits does not parse.
		decoded = value
	}
	return decoded, others
}
