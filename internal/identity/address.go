package identity

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// Address is a normalised e-mail address: the only form in which addresses are compared, stored, routed and enforced.
type Address struct {
	// Local is lower-case dot-atom ASCII (RFC 5322 3.2.3, never quoted).
	Local string
	// Domain is lower-case A-labels without a trailing dot.
	Domain string
}

func (a Address) String() string { return a.Local + "@" + a.Domain }

// maxAddress and maxLocal are the limits of RFC 5321 4.5.3.1, in octets.
const (
	maxAddress = 254
	maxLocal   = 64
)

// domains maps what people type (case, full-width letters, ideographic full stops) to A-labels as UTS #46 says, and refuses what is no host name.
var domains = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true), idna.BidiRule(), idna.VerifyDNSLength(true), idna.CheckHyphens(true))

// NormaliseAddress reads an address strictly, so that two spellings of one mailbox cannot be told apart by routing and enforcement:
// case is folded, the domain becomes A-labels, and quoted local parts, comments, address literals, trailing dots, several at-signs, spaces and
// local parts outside ASCII are refused.
func NormaliseAddress(s string) (Address, error) {
	s = strings.Trim(s, " \t\r\n")
	if s == "" {
		return Address{}, errors.New("the e-mail address is empty")
	}
	at := strings.IndexByte(s, '@')
	if at < 0 || strings.LastIndexByte(s, '@') != at {
		return Address{}, errors.New("an e-mail address has exactly one @")
	}
	local, domain := s[:at], s[at+1:]
	// Two letters outside ASCII have lower cases inside of it, so this comes first.
	if !isASCII(local) {
		return Address{}, errors.New("the part before the @ has a character outside of ASCII")
	}
	local = strings.ToLower(local)
	if err := checkLocal(local); err != nil {
		return Address{}, err
	}
	domain, err := NormaliseDomain(domain)
	if err != nil {
		return Address{}, err
	}
	if len(local)+1+len(domain) > maxAddress {
		return Address{}, fmt.Errorf("the e-mail address is longer than %d characters", maxAddress)
	}
	return Address{Local: local, Domain: domain}, nil
}

func checkLocal(local string) error {
	if local == "" || len(local) > maxLocal {
		return fmt.Errorf("the part before the @ must have 1 to %d characters", maxLocal)
	}
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return errors.New("the part before the @ has a dot at its start, at its end or two in a row")
	}
	for i := range len(local) {
		if !atext[local[i]] {
			return fmt.Errorf("the part before the @ has a character that is not accepted: %q", rune(local[i]))
		}
	}
	return nil
}

var atext = func() (t [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~." {
		t[c] = true
	}
	return t
}()

// NormaliseDomain makes lower-case A-labels of a domain name. At least two labels, no trailing dot, no address literal.
func NormaliseDomain(domain string) (string, error) {
	if len(domain) > 4*maxAddress {
		return "", errors.New("the domain is too long")
	}
	ascii, err := domains.ToASCII(domain)
	if err != nil {
		return "", fmt.Errorf("%q is not a domain name", domain)
	}
	if strings.HasSuffix(ascii, ".") {
		return "", errors.New("the domain ends in a dot: leave it out")
	}
	if !strings.Contains(ascii, ".") {
		return "", fmt.Errorf("the domain %q has no dot", ascii)
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if err := checkALabel(label); err != nil {
			return "", err
		}
	}
	return ascii, nil
}

// checkALabel refuses xn-- labels that do not decode to the very thing that encodes to them: a second spelling of another label.
func checkALabel(label string) error {
	if !strings.HasPrefix(label, "xn--") {
		return nil
	}
	unicode, err := domains.ToUnicode(label)
	if err != nil || isASCII(unicode) {
		return fmt.Errorf("the label %q of the domain is not valid", label)
	}
	if again, err := domains.ToASCII(unicode); err != nil || again != label {
		return fmt.Errorf("the label %q of the domain is not valid", label)
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
