package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nesting of a record, so that a hostile export cannot exhaust the stack of the verifier.
const maxDepth = 16

// Canonical rewrites JSON into the one form that is hashed: RFC 8785 (members sorted by name, no white space, shortest escapes),
// restricted to integers. Duplicate names, fractions, exponents and nesting deeper than 16 are errors, because two readers could see them differently.
func Canonical(text []byte) ([]byte, error) { return canonicalWithout(text, "") }

// canonicalWithout leaves out one member of the outermost object.
func canonicalWithout(text []byte, without string) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	out := make([]byte, 0, len(text))
	out, err := canonicalValue(d, out, 0, without)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return out, nil
}

func canonicalValue(d *json.Decoder, out []byte, depth int, without string) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return canonicalObject(d, out, depth, without)
		}
		return canonicalArray(d, out, depth)
	case string:
		return appendString(out, v), nil
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") || v == "-0" {
			return nil, fmt.Errorf("number %s is not a plain integer", v)
		}
		return append(out, v...), nil
	case bool:
		if v {
			return append(out, "true"...), nil
		}
		return append(out, "false"...), nil
	default:
		return append(out, "null"...), nil
	}
}

type member struct {
	name  string
	value []byte
}

func canonicalObject(d *json.Decoder, out []byte, depth int, without string) ([]byte, error) {
	var members []member
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string)
		value, err := canonicalValue(d, nil, depth+1, "")
		if err != nil {
			return nil, err
		}
		members = append(members, member{name, value})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	out = append(out, '{')
	first := true
	for i, m := range members {
		if i > 0 && m.name == members[i-1].name {
			return nil, fmt.Errorf("the name %q occurs twice", m.name)
		}
		if without != "" && m.name == without {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(appendString(out, m.name), ':')
		out = append(out, m.value...)
	}
	return append(out, '}'), nil
}

func canonicalArray(d *json.Decoder, out []byte, depth int) ([]byte, error) {
	out = append(out, '[')
	for first := true; d.More(); first = false {
		if !first {
			out = append(out, ',')
		}
		var err error
		if out, err = canonicalValue(d, out, depth+1, ""); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return append(out, ']'), err
}

// appendString writes a JSON string with the escapes of RFC 8785 3.2.2.2 and nothing else escaped.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			out = append(out, '\\', byte(r))
		case '\b':
			out = append(out, '\\', 'b')
		case '\t':
			out = append(out, '\\', 't')
		case '\n':
			out = append(out, '\\', 'n')
		case '\f':
			out = append(out, '\\', 'f')
		case '\r':
			out = append(out, '\\', 'r')
		default:
			if r < 0x20 {
				out = fmt.Appendf(out, "\\u%04x", r)
			} else {
				out = utf8.AppendRune(out, r)
			}
		}
	}
	return append(out, '"')
}
