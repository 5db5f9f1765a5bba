// Package xmldoc is the one XML parser that SAML messages pass through: a strict, bounded reader of the subset of XML 1.0 with
// namespaces that SAML uses.
//
// It exists because every bypass by parser differential needs two parsers, and every denial of service needs a parser that
// reads before it counts. Parse refuses DOCTYPE, processing instructions, encodings other than UTF-8, undeclared prefixes,
// repeated attributes, mixed content and comments inside values, and stops at the first limit it meets. The tree is immutable
// after Parse; Canonical writes exclusive XML canonicalization with goxmldsig's canonicalizer.
package xmldoc

import (
	"errors"
	"fmt"
	"strings"
)

// Limits bound one document. Zero is no allowance at all, so start from DefaultLimits.
type Limits struct {
	// MaxBytes is the size of the document.
	MaxBytes int
	// MaxDepth is how deep elements nest; the root is at depth 1.
	MaxDepth int
	// MaxElements is how many elements there are.
	MaxElements int
	// MaxAttributes is how many attributes and namespace declarations there are in all.
	MaxAttributes int
	// MaxAttributesPerElement is how many of them one element has.
	MaxAttributesPerElement int
	// MaxNamespaces is how many namespace declarations are in scope at any one element.
	MaxNamespaces int
	// MaxComments is how many comments and CDATA sections there are.
	MaxComments int
}

// DefaultLimits let a response with 2,000 attribute values pass, each with namespace declarations of its own.
func DefaultLimits() Limits {
	return Limits{
		MaxBytes: 256 << 10, MaxDepth: 64, MaxElements: 6000, MaxAttributes: 12000, MaxAttributesPerElement: 64,
		MaxNamespaces: 20, MaxComments: 200,
	}
}

// ErrLimit is wrapped by every error that a limit caused.
var ErrLimit = errors.New("limit exceeded")

// ErrMalformed is wrapped by every other error of Parse.
var ErrMalformed = errors.New("malformed XML")

// LimitError names the limit that was exceeded.
type LimitError struct {
	What string
	Max  int
}

func (e *LimitError) Error() string { return fmt.Sprintf("more than %d %s", e.Max, e.What) }

// Unwrap lets errors.Is find ErrLimit.
func (e *LimitError) Unwrap() error { return ErrLimit }

// SyntaxError says what is wrong and at which byte of the document. It never quotes the document.
type SyntaxError struct {
	Offset int
	What   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s (at byte %d)", e.What, e.Offset) }

// Unwrap lets errors.Is find ErrMalformed.
func (e *SyntaxError) Unwrap() error { return ErrMalformed }

// Attr is an attribute that is not a namespace declaration.
type Attr struct {
	Prefix, Local string
	// Space is the namespace URI; empty without a prefix.
	Space string
	Value string
}

// Decl is a namespace declaration; Prefix is empty for the default namespace.
type Decl struct {
	Prefix, URI string
}

// Node is an element.
type Node struct {
	Prefix, Local string
	// Space is the namespace URI.
	Space string
	Attrs []Attr
	Decls []Decl

	Parent *Node
	// First is the first child element, Next the next sibling; both may be nil.
	First, Next *Node
	last        *Node

	// Text is the character data before the first child element, and the whole value of an element without child elements.
	// Tail is the character data between this element's end tag and the next tag; it is white space.
	Text, Tail string

	// inherited is set on a root whose context came from outside (ParseFragment).
	inherited []Decl
}

// XML's own namespaces, which are never declared.
const (
	XMLSpace   = "http://www.w3.org/XML/1998/namespace"
	XMLNSSpace = "http://www.w3.org/2000/xmlns/"
)

// Is tells whether the element has this namespace and local name.
func (n *Node) Is(space, local string) bool {
	return n != nil && n.Local == local && n.Space == space
}

// Attr returns the value of the attribute without a prefix that has this name.
func (n *Node) Attr(local string) (string, bool) {
	for i := range n.Attrs {
		if n.Attrs[i].Local == local && n.Attrs[i].Prefix == "" {
			return n.Attrs[i].Value, true
		}
	}
	return "", false
}

// Value returns the value of the attribute without a prefix that has this name, or "".
func (n *Node) Value(local string) string {
	v, _ := n.Attr(local)
	return v
}

// Child returns the only child element with this name. Two of them, or none, give nil and their number.
func (n *Node) Child(space, local string) (child *Node, count int) {
	for c := n.First; c != nil; c = c.Next {
		if c.Is(space, local) {
			child = c
			count++
		}
	}
	if count != 1 {
		return nil, count
	}
	return child, 1
}

// Trimmed returns Text without the white space around it, for URIs and base64 (XML Schema's collapse facet).
func (n *Node) Trimmed() string { return strings.Trim(n.Text, " \t\r\n") }

// Walk visits the element and everything below it in document order, until visit returns false.
func (n *Node) Walk(visit func(*Node) bool) bool {
	if !visit(n) {
		return false
	}
	for c := n.First; c != nil; c = c.Next {
		if !c.Walk(visit) {
			return false
		}
	}
	return true
}

// Scope returns the namespace declarations in scope at the element, innermost first, each prefix once. An undeclared default
// namespace (xmlns="") is left out.
func (n *Node) Scope() []Decl {
	var out []Decl
	add := func(decls []Decl) {
		for _, d := range decls {
			if !hasPrefix(out, d.Prefix) {
				out = append(out, d)
			}
		}
	}
	for m := n; m != nil; m = m.Parent {
		add(m.Decls)
		add(m.inherited)
	}
	kept := out[:0]
	for _, d := range out {
		if d.URI != "" {
			kept = append(kept, d)
		}
	}
	return kept
}

func hasPrefix(decls []Decl, prefix string) bool {
	for i := range decls {
		if decls[i].Prefix == prefix {
			return true
		}
	}
	return false
}
