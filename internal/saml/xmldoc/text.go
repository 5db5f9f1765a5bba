package xmldoc

import (
	"strings"
	"unicode/utf8"
)

// textRun collects character data; one piece that needs no change stays a part of the document.
type textRun struct {
	first string
	more  []byte
	many  bool
}

func (t *textRun) reset() { *t = textRun{} }

func (t *textRun) add(s string) {
	switch {
	case s == "":
	case !t.many && t.first == "":
		t.first = s
	default:
		if !t.many {
			t.more = append(t.more, t.first...)
			t.many = true
		}
		t.more = append(t.more, s...)
	}
}

func (t *textRun) String() string {
	if t.many {
		return string(t.more)
	}
	return t.first
}

// charData reads text up to the next '<'.
func (p *parser) charData(t *textRun) error {
	end := strings.IndexByte(p.src[p.pos:], '<')
	if end < 0 {
		return p.fail("an element is not closed")
	}
	s := p.src[p.pos : p.pos+end]
	if strings.Contains(s, "]]>") {
		return p.fail(`"]]>" in text`)
	}
	if err := p.checkChars(p.pos, p.pos+end); err != nil {
		return err
	}
	s, err := p.expand(lineEnds(s))
	if err != nil {
		return err
	}
	t.add(s)
	p.pos += end
	return nil
}

func (p *parser) cdata(t *textRun) error {
	if p.comments++; p.comments > p.lim.MaxComments {
		return &LimitError{What: "comments and CDATA sections", Max: p.lim.MaxComments}
	}
	start := p.pos + len("<![CDATA[")
	end := strings.Index(p.src[start:], "]]>")
	if end < 0 {
		return p.fail("a CDATA section does not end")
	}
	if err := p.checkChars(start, start+end); err != nil {
		return err
	}
	t.add(lineEnds(p.src[start : start+end]))
	p.pos = start + end + 3
	return nil
}

// attributeValue checks, normalizes (XML 1.0, 3.3.3) and expands a value.
func (p *parser) attributeValue(s string) (string, error) {
	if strings.IndexByte(s, '<') >= 0 {
		return "", p.fail(`"<" in an attribute's value`)
	}
	if err := p.checkChars(p.pos, p.pos+len(s)); err != nil {
		return "", err
	}
	if strings.ContainsAny(s, "\t\r\n") {
		s = lineEnds(s)
		s = strings.Map(func(r rune) rune {
			if r == '\t' || r == '\n' {
				return ' '
			}
			return r
		}, s)
	}
	return p.expand(s)
}

// lineEnds turns CR LF and CR into LF (XML 1.0, 2.11).
func lineEnds(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// expand replaces character references and the five predefined entities. There are no others without a DOCTYPE.
func (p *parser) expand(s string) (string, error) {
	amp := strings.IndexByte(s, '&')
	if amp < 0 {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for amp >= 0 {
		b.WriteString(s[:amp])
		s = s[amp+1:]
		end := strings.IndexByte(s, ';')
		if end < 0 || end > 10 {
			return "", p.fail("a reference does not end")
		}
		r, ok := reference(s[:end])
		if !ok {
			return "", p.fail("an entity is not known")
		}
		b.WriteRune(r)
		s = s[end+1:]
		amp = strings.IndexByte(s, '&')
	}
	b.WriteString(s)
	return b.String(), nil
}

func reference(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	base, digits := rune(10), name[1:]
	if digits[0] == 'x' {
		base, digits = 16, digits[1:]
	}
	var r rune
	for i := 0; i < len(digits); i++ {
		d := digit(digits[i])
		if d >= base {
			return 0, false
		}
		if r = r*base + d; r > utf8.MaxRune {
			return 0, false
		}
	}
	return r, digits != "" && isChar(r)
}

func digit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return 99
}

// checkChars refuses what XML 1.0 has no characters for (2.2). The document is already known to be UTF-8.
func (p *parser) checkChars(start, end int) error {
	for i := start; i < end; {
		c := p.src[i]
		if c < utf8.RuneSelf {
			if c < 0x20 && !isSpace(c) {
				return &SyntaxError{Offset: i, What: "a control character is not allowed"}
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(p.src[i:end])
		if !isChar(r) {
			return &SyntaxError{Offset: i, What: "a character is not allowed"}
		}
		i += size
	}
	return nil
}

func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
