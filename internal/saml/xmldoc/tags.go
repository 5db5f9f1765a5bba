package xmldoc

import "strings"

// startTag reads <name attr="..."> or <name/>. It returns the scope's length from before the element.
func (p *parser) startTag() (n *Node, scope int, empty bool, err error) {
	p.pos++
	if p.elements++; p.elements > p.lim.MaxElements {
		return nil, 0, false, &LimitError{What: "elements", Max: p.lim.MaxElements}
	}
	prefix, local, err := p.qname()
	if err != nil {
		return nil, 0, false, err
	}
	if empty, err = p.attributeList(); err != nil {
		return nil, 0, false, err
	}
	scope = len(p.scope)
	n = p.newNode()
	n.Prefix, n.Local = prefix, local
	if n.Decls, err = p.declarations(); err != nil {
		return nil, 0, false, err
	}
	if n.Space, err = p.resolve(prefix, true); err != nil {
		return nil, 0, false, err
	}
	n.Attrs, err = p.resolveAttributes()
	return n, scope, empty, err
}

// attributeList reads everything up to the end of a start tag into p.raw.
func (p *parser) attributeList() (empty bool, err error) {
	p.raw = p.raw[:0]
	for {
		had := p.space()
		if p.pos >= len(p.src) {
			return false, p.fail("a start tag does not end")
		}
		switch p.src[p.pos] {
		case '>':
			p.pos++
			return false, nil
		case '/':
			if p.pos+1 >= len(p.src) || p.src[p.pos+1] != '>' {
				return false, p.fail("a start tag is malformed")
			}
			p.pos += 2
			return true, nil
		}
		if !had {
			return false, p.fail("white space is missing before an attribute")
		}
		if len(p.raw) >= p.lim.MaxAttributesPerElement {
			return false, &LimitError{What: "attributes of one element", Max: p.lim.MaxAttributesPerElement}
		}
		if p.attributes++; p.attributes > p.lim.MaxAttributes {
			return false, &LimitError{What: "attributes", Max: p.lim.MaxAttributes}
		}
		a, err := p.attribute()
		if err != nil {
			return false, err
		}
		for i := range p.raw {
			if p.raw[i].local == a.local && p.raw[i].prefix == a.prefix {
				return false, p.fail("an attribute is given twice")
			}
		}
		p.raw = append(p.raw, a)
	}
}

func (p *parser) attribute() (a rawAttr, err error) {
	if a.prefix, a.local, err = p.qname(); err != nil {
		return a, err
	}
	p.space()
	if p.pos >= len(p.src) || p.src[p.pos] != '=' {
		return a, p.fail("an attribute has no value")
	}
	p.pos++
	p.space()
	if p.pos >= len(p.src) || (p.src[p.pos] != '"' && p.src[p.pos] != '\'') {
		return a, p.fail("an attribute's value is not quoted")
	}
	quote := p.src[p.pos]
	p.pos++
	end := strings.IndexByte(p.src[p.pos:], quote)
	if end < 0 {
		return a, p.fail("an attribute's value does not end")
	}
	a.value, err = p.attributeValue(p.src[p.pos : p.pos+end])
	p.pos += end + 1
	return a, err
}

// declarations takes the namespace declarations out of p.raw and puts them in scope.
func (p *parser) declarations() ([]Decl, error) {
	start := len(p.decls)
	kept := p.raw[:0]
	for _, a := range p.raw {
		d := Decl{URI: a.value}
		switch {
		case a.prefix == "xmlns":
			d.Prefix = a.local
			if d.URI == "" || d.Prefix == "xmlns" {
				return nil, p.fail("a namespace declaration is malformed")
			}
		case a.prefix == "" && a.local == "xmlns":
		default:
			kept = append(kept, a)
			continue
		}
		if err := p.declare(d); err != nil {
			return nil, err
		}
		if cap(p.decls) == len(p.decls) {
			grown := make([]Decl, len(p.decls)-start, max(32, 2*(len(p.decls)-start)))
			copy(grown, p.decls[start:])
			p.decls, start = grown, 0
		}
		p.decls = append(p.decls, d)
	}
	p.raw = kept
	if len(p.decls) == start {
		return nil, nil
	}
	return p.decls[start:len(p.decls):len(p.decls)], nil
}

func (p *parser) declare(d Decl) error {
	if (d.Prefix == "xml") != (d.URI == XMLSpace) || d.URI == XMLNSSpace {
		return p.fail("a reserved namespace is declared")
	}
	if len(p.scope) >= p.lim.MaxNamespaces {
		return &LimitError{What: "namespace declarations in scope", Max: p.lim.MaxNamespaces}
	}
	p.scope = append(p.scope, d)
	return nil
}

// resolve finds the namespace of a prefix. The default namespace is for elements only.
func (p *parser) resolve(prefix string, element bool) (string, error) {
	switch {
	case prefix == "" && !element:
		return "", nil
	case prefix == "xml":
		return XMLSpace, nil
	case prefix == "xmlns":
		return "", p.fail("the prefix xmlns is reserved")
	}
	for i := len(p.scope) - 1; i >= 0; i-- {
		if p.scope[i].Prefix == prefix {
			return p.scope[i].URI, nil
		}
	}
	if prefix == "" {
		return "", nil
	}
	return "", p.fail("a namespace prefix is not declared")
}

// resolveAttributes turns what is left in p.raw into attributes and refuses two with the same expanded name.
func (p *parser) resolveAttributes() ([]Attr, error) {
	if len(p.raw) == 0 {
		return nil, nil
	}
	if cap(p.attrs)-len(p.attrs) < len(p.raw) {
		p.attrs = make([]Attr, 0, max(64, len(p.raw)))
	}
	start := len(p.attrs)
	for _, a := range p.raw {
		space, err := p.resolve(a.prefix, false)
		if err != nil {
			return nil, err
		}
		if space != "" {
			for _, b := range p.attrs[start:] {
				if b.Local == a.local && b.Space == space {
					return nil, p.fail("an attribute is given twice")
				}
			}
		}
		p.attrs = append(p.attrs, Attr{Prefix: a.prefix, Local: a.local, Space: space, Value: a.value})
	}
	return p.attrs[start:len(p.attrs):len(p.attrs)], nil
}

func (p *parser) newNode() *Node {
	if len(p.nodes) == cap(p.nodes) {
		p.nodes = make([]Node, 0, 64)
	}
	p.nodes = p.nodes[:len(p.nodes)+1]
	return &p.nodes[len(p.nodes)-1]
}

// space skips white space and tells whether there was any.
func (p *parser) space() bool {
	start := p.pos
	for p.pos < len(p.src) && isSpace(p.src[p.pos]) {
		p.pos++
	}
	return p.pos > start
}

// qname reads prefix:local or local.
func (p *parser) qname() (prefix, local string, err error) {
	if local, err = p.ncname(); err != nil {
		return "", "", err
	}
	if p.pos < len(p.src) && p.src[p.pos] == ':' {
		p.pos++
		prefix = local
		if local, err = p.ncname(); err != nil {
			return "", "", err
		}
	}
	return prefix, local, nil
}

// ncname reads a name of ASCII letters, digits, "_", "-" and ".". XML allows more, and its editions and parsers disagree about which
// (XML 1.0, 2.3); SAML needs no more.
func (p *parser) ncname() (string, error) {
	start := p.pos
	for p.pos < len(p.src) && isNameByte(p.src[p.pos], p.pos == start) {
		p.pos++
	}
	if p.pos == start {
		return "", p.fail("a name is malformed")
	}
	return p.src[start:p.pos], nil
}

func isNameByte(c byte, first bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		return true
	case '0' <= c && c <= '9', c == '-', c == '.':
		return !first
	}
	return false
}
