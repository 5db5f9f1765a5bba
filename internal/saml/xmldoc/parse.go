package xmldoc

import (
	"strings"
	"unicode/utf8"
)

// Parse reads one document. Errors wrap ErrLimit or ErrMalformed.
func Parse(data []byte, limits Limits) (*Node, error) {
	return ParseFragment(data, nil, limits)
}

// ParseFragment reads one element whose prefixes may be declared by the context it was cut from, such as the plaintext of an
// EncryptedAssertion (xmlenc-core 4.5). The namespace declarations of context are in scope at its root.
func ParseFragment(data []byte, context []Decl, limits Limits) (*Node, error) {
	if len(data) > limits.MaxBytes {
		return nil, &LimitError{What: "bytes", Max: limits.MaxBytes}
	}
	if !utf8.Valid(data) {
		return nil, &SyntaxError{What: "the document is not UTF-8"}
	}
	p := &parser{src: strings.TrimPrefix(string(data), "\ufeff"), lim: limits}
	for _, d := range context {
		if err := p.declare(d); err != nil {
			return nil, err
		}
	}
	root, err := p.document()
	if err != nil {
		return nil, err
	}
	if len(context) > 0 {
		root.inherited = append([]Decl(nil), context...)
	}
	return root, nil
}

type parser struct {
	src string
	pos int
	lim Limits

	elements, attributes, comments int

	scope []Decl
	nodes []Node
	attrs []Attr
	decls []Decl
	raw   []rawAttr
}

// rawAttr is an attribute before its prefix is resolved.
type rawAttr struct {
	prefix, local, value string
}

func (p *parser) fail(what string) error { return &SyntaxError{Offset: p.pos, What: what} }

func (p *parser) document() (*Node, error) {
	if err := p.declaration(); err != nil {
		return nil, err
	}
	if err := p.misc(); err != nil {
		return nil, err
	}
	if p.pos >= len(p.src) || p.src[p.pos] != '<' {
		return nil, p.fail("the document does not start with an element")
	}
	root, err := p.tree()
	if err != nil {
		return nil, err
	}
	if err := p.misc(); err != nil {
		return nil, err
	}
	if p.pos != len(p.src) {
		return nil, p.fail("there is something after the root element")
	}
	return root, nil
}

// declaration reads <?xml ...?>, which must say version 1.0 and may say encoding UTF-8.
func (p *parser) declaration() error {
	if !strings.HasPrefix(p.src, "<?xml") || len(p.src) < 6 || !isSpace(p.src[5]) {
		return nil
	}
	end := strings.Index(p.src, "?>")
	if end < 0 || end > 200 {
		return p.fail("the XML declaration does not end")
	}
	names := []string{"version", "encoding", "standalone"}
	for rest := strings.Trim(p.src[5:end], " \t\r\n"); rest != ""; {
		name, after, ok := strings.Cut(rest, "=")
		name, after = strings.TrimRight(name, " \t\r\n"), strings.TrimLeft(after, " \t\r\n")
		if !ok || after == "" || (after[0] != '"' && after[0] != '\'') {
			return p.fail("the XML declaration is malformed")
		}
		value, next, ok := strings.Cut(after[1:], after[:1])
		for len(names) > 0 && names[0] != name {
			names = names[1:]
		}
		if !ok || len(names) == 0 {
			return p.fail("the XML declaration is malformed")
		}
		names = names[1:]
		if !declarationValue(name, value) {
			return p.fail("only XML 1.0 in UTF-8 is read")
		}
		rest = strings.TrimLeft(next, " \t\r\n")
	}
	if len(names) == 3 {
		return p.fail("the XML declaration is malformed")
	}
	p.pos = end + 2
	return nil
}

func declarationValue(name, value string) bool {
	switch name {
	case "version":
		return value == "1.0"
	case "encoding":
		return strings.EqualFold(value, "UTF-8")
	default:
		return value == "yes" || value == "no"
	}
}

// misc skips white space and comments outside the root element.
func (p *parser) misc() error {
	for p.pos < len(p.src) {
		switch {
		case isSpace(p.src[p.pos]):
			p.pos++
		case strings.HasPrefix(p.src[p.pos:], "<!--"):
			if err := p.comment(); err != nil {
				return err
			}
		default:
			return p.markup()
		}
	}
	return nil
}

// markup refuses what SAML messages never need: DOCTYPE, other declarations and processing instructions.
func (p *parser) markup() error {
	rest := p.src[p.pos:]
	switch {
	case strings.HasPrefix(rest, "<!DOCTYPE"):
		return p.fail("a DOCTYPE is not allowed")
	case strings.HasPrefix(rest, "<!"):
		return p.fail("a markup declaration is not allowed")
	case strings.HasPrefix(rest, "<?"):
		return p.fail("a processing instruction is not allowed")
	}
	return nil
}

// frame is an open element.
type frame struct {
	node    *Node
	scope   int
	comment bool
	text    textRun
}

// tree reads an element and everything in it, without recursion.
func (p *parser) tree() (*Node, error) {
	var stack []frame
	for {
		node, scope, empty, err := p.startTag()
		if err != nil {
			return nil, err
		}
		if len(stack) > 0 {
			attach(stack[len(stack)-1].node, node)
		}
		stack = append(stack, frame{node: node, scope: scope})
		if len(stack) > p.lim.MaxDepth {
			return nil, &LimitError{What: "levels of elements", Max: p.lim.MaxDepth}
		}
		if empty {
			p.scope = p.scope[:scope]
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				return node, nil
			}
		}
		for {
			top := &stack[len(stack)-1]
			open, err := p.content(top)
			if err != nil {
				return nil, err
			}
			if open {
				break
			}
			node := top.node
			p.scope = p.scope[:top.scope]
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				return node, nil
			}
		}
	}
}

func attach(parent, node *Node) {
	node.Parent = parent
	if parent.last == nil {
		parent.First = node
	} else {
		parent.last.Next = node
	}
	parent.last = node
}

// content reads up to the next start tag (true) or the element's own end tag (false).
func (p *parser) content(f *frame) (bool, error) {
	f.text.reset()
	for p.pos < len(p.src) {
		if p.src[p.pos] != '<' {
			if err := p.charData(&f.text); err != nil {
				return false, err
			}
			continue
		}
		rest := p.src[p.pos:]
		switch {
		case strings.HasPrefix(rest, "</"):
			return false, p.finish(f, true)
		case strings.HasPrefix(rest, "<!--"):
			f.comment = true
			if err := p.comment(); err != nil {
				return false, err
			}
		case strings.HasPrefix(rest, "<![CDATA["):
			if err := p.cdata(&f.text); err != nil {
				return false, err
			}
		case strings.HasPrefix(rest, "<!"), strings.HasPrefix(rest, "<?"):
			return false, p.markup()
		default:
			return true, p.finish(f, false)
		}
	}
	return false, p.fail("an element is not closed")
}

// finish stores the character data that was read and checks that values are whole: no comment inside, no element beside.
func (p *parser) finish(f *frame, end bool) error {
	n := f.node
	text := f.text.String()
	blank := isBlank(text)
	if n.last == nil {
		n.Text = text
	} else {
		n.last.Tail = text
	}
	if !blank && f.comment {
		return p.fail("a comment inside a value is not allowed")
	}
	if !blank && (n.last != nil || !end) {
		return p.fail("text beside elements is not allowed")
	}
	if !end {
		return nil
	}
	p.pos += 2
	prefix, local, err := p.qname()
	if err != nil {
		return err
	}
	if prefix != n.Prefix || local != n.Local {
		return p.fail("an end tag does not match its start tag")
	}
	p.space()
	if p.pos >= len(p.src) || p.src[p.pos] != '>' {
		return p.fail("an end tag is malformed")
	}
	p.pos++
	return nil
}

func (p *parser) comment() error {
	if p.comments++; p.comments > p.lim.MaxComments {
		return &LimitError{What: "comments and CDATA sections", Max: p.lim.MaxComments}
	}
	end := strings.Index(p.src[p.pos+4:], "--")
	if end < 0 {
		return p.fail("a comment does not end")
	}
	if err := p.checkChars(p.pos+4, p.pos+4+end); err != nil {
		return err
	}
	p.pos += 4 + end
	if !strings.HasPrefix(p.src[p.pos:], "-->") {
		return p.fail(`"--" inside a comment`)
	}
	p.pos += 3
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isBlank(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isSpace(s[i]) {
			return false
		}
	}
	return true
}
