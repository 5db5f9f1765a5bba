package access

import (
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// readings are what servers between here and the application may take a requested path for.
type readings struct {
	// exact is decoded, loose is exact as the most forgiving of them read it: see loosely.
	exact, loose string
	// unclear paths are read in so many ways that no prefix can be compared with them.
	unclear bool
}

// readPath decodes a path. It is unclear where it has dots and empty segments that are resolved, encoded slashes, backslashes, path parameters, a fragment, an escape
// that does not decode, or what is no character on paper, which some frameworks strip; and where compatible characters, such as those of full width, would be such.
func readPath(raw string) readings {
	decoded, err := url.PathUnescape(raw)
	if err != nil || strings.Contains(raw, "#") || strings.Contains(strings.ToLower(raw), "%2f") || !isClear(decoded) || !isClear(norm.NFKC.String(decoded)) {
		return readings{unclear: true}
	}
	return readings{exact: decoded, loose: loosely(decoded)}
}

func isClear(decoded string) bool {
	if strings.ContainsFunc(decoded, confusing) {
		return false
	}
	clean := path.Clean(decoded)
	if strings.HasSuffix(decoded, "/") && clean != "/" {
		clean += "/"
	}
	return clean == decoded
}

// confusing holds for the bytes of what is not UTF-8 too, which are read as utf8.RuneError.
func confusing(r rune) bool {
	return r == '\\' || r == ';' || r == '%' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
}

// loosely folds what some servers and frameworks do not tell apart: case, compatible characters such as those of full width, and spaces and dots at the end of a
// segment, which Windows drops.
func loosely(s string) string {
	if plain(s) {
		return s
	}
	segments := strings.Split(strings.ToLower(strings.ToUpper(norm.NFKC.String(s))), "/")
	for i, segment := range segments {
		segments[i] = strings.TrimRight(strings.TrimLeft(segment, " "), " .")
	}
	return strings.Join(segments, "/")
}

// plain holds for paths that loosely leaves as they are: almost all of them.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c == ' ' || 'A' <= c && c <= 'Z' || c == '.' && (i+1 == len(s) || s[i+1] == '/') {
			return false
		}
	}
	return true
}

// prefix is one of a rule's.
type prefix struct{ exact, loose string }

// newPrefix compiles one. A slash at the end says that everything below is meant; most applications answer to the path without it in the same way, so that only
// a rule that lets everybody pass takes it at its word.
func newPrefix(s string, public bool) prefix {
	p := prefix{exact: s, loose: strings.TrimSuffix(loosely(s), "/")}
	if !public && s != "/" {
		p.exact = strings.TrimSuffix(s, "/")
	}
	return p
}

// fits compares whole segments: /admin covers /admin and /admin/x, and not /administrator. What goes on with anything but a letter, a digit, a hyphen or an underscore
// (/admin.json, /admin~) is another spelling of it to some frameworks.
func (p *prefix) fits(requested *readings) fit {
	if rest, ok := strings.CutPrefix(requested.exact, p.exact); ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(p.exact, "/")) {
		return yes
	}
	rest, ok := strings.CutPrefix(requested.loose, p.loose)
	if !ok {
		return no
	}
	if next, size := utf8.DecodeRuneInString(rest); size > 0 && (unicode.In(next, unicode.Letter, unicode.Mark, unicode.Number) || next == '-' || next == '_') {
		return no
	}
	return perhaps
}
