package identity

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// attributeKind is how a profile value is checked.
type attributeKind int

const (
	kindText attributeKind = iota
	kindPhone
	kindPostalCode
	kindCountry
	kindLanguage
)

// StandardAttribute is one of the profile attributes that Sallyport knows by itself.
type StandardAttribute struct {
	// Name is the API name and the default Name on the wire; OID is the other one that IdPs send, as urn:oid:OID.
	Name string
	OID  string
	// Max is the longest value, in characters.
	Max  int
	kind attributeKind
}

// StandardAttributes are the 14 that need no declaration.
var StandardAttributes = []StandardAttribute{
	{"phoneWork", "2.5.4.20", 50, kindPhone},
	{"phoneMobile", "0.9.2342.19200300.100.1.41", 50, kindPhone},
	{"displayName", "2.16.840.1.113730.3.1.241", 255, kindText},
	{"jobTitle", "2.5.4.12", 255, kindText},
	{"department", "2.5.4.11", 255, kindText},
	{"organization", "2.5.4.10", 255, kindText},
	{"employeeId", "2.16.840.1.113730.3.1.3", 255, kindText},
	{"streetAddress", "2.5.4.9", 255, kindText},
	{"city", "2.5.4.7", 255, kindText},
	{"state", "2.5.4.8", 255, kindText},
	{"postalCode", "2.5.4.17", 20, kindPostalCode},
	{"country", "2.5.4.6", 2, kindCountry},
	{"preferredLanguage", "2.16.840.1.113730.3.1.39", 35, kindLanguage},
	{"description", "2.5.4.13", 2000, kindText},
}

// maxCustom is the longest value of an attribute that a ServiceProvider names itself, in characters.
const maxCustom = 1024

var standardByName = func() map[string]StandardAttribute {
	m := map[string]StandardAttribute{}
	for _, a := range StandardAttributes {
		m[a.Name] = a
	}
	return m
}()

// IsStandardAttribute tells whether a profile has the attribute without being told so.
func IsStandardAttribute(name string) bool {
	_, ok := standardByName[name]
	return ok
}

var (
	phonePattern  = regexp.MustCompile(`^\+?[0-9][0-9 ()./-]{1,48}( ?(x|ext\.?) ?[0-9]{1,8})?$`)
	postalPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 -]{0,19}$`)
)

// NormaliseProfileValue checks a value of a profile attribute and gives it its one spelling. An error says what is wrong with it, without the value itself.
// The caller drops a bad value and records the name: it never fails a sign-in.
func NormaliseProfileValue(attribute, value string) (string, error) {
	value = strings.TrimSpace(value)
	if !cleanText(value) {
		return "", fmt.Errorf("%s: control characters or bytes that are not UTF-8", attribute)
	}
	a, standard := standardByName[attribute]
	if !standard {
		a = StandardAttribute{Name: attribute, Max: maxCustom}
	}
	if n := utf8.RuneCountInString(value); n > a.Max {
		return "", fmt.Errorf("%s: %d characters, at most %d", attribute, n, a.Max)
	}
	switch a.kind {
	case kindPhone:
		if !phonePattern.MatchString(value) {
			return "", fmt.Errorf("%s: not a phone number", attribute)
		}
	case kindPostalCode:
		if !postalPattern.MatchString(value) {
			return "", fmt.Errorf("%s: not a postal code of letters, digits, spaces and hyphens", attribute)
		}
	case kindCountry:
		region, err := language.ParseRegion(value)
		if len(value) != 2 || err != nil || !region.IsCountry() {
			return "", fmt.Errorf("%s: not a two-letter code of ISO 3166-1", attribute)
		}
		return strings.ToUpper(value), nil
	case kindLanguage:
		tag, err := language.Parse(value)
		if err != nil {
			return "", fmt.Errorf("%s: not a language tag of BCP 47", attribute)
		}
		return tag.String(), nil
	}
	return value, nil
}

// cleanText says that a value is valid UTF-8 without control characters but line breaks and tabs.
func cleanText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}
