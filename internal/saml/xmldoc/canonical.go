package xmldoc

import (
	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Canonical writes the element in exclusive canonical form without comments (xml-exc-c14n 1.0), as if the element without were
// not there; without may be nil. prefixList is the PrefixList of InclusiveNamespaces, or "".
func (n *Node) Canonical(without *Node, prefixList string) ([]byte, error) {
	el := n.element(without)
	for _, d := range n.Scope() {
		if !hasPrefix(n.Decls, d.Prefix) {
			el.Attr = append(el.Attr, declAttr(d))
		}
	}
	return dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixList).Canonicalize(el)
}

// element copies the subtree into the form that goxmldsig works on; it changes its argument.
func (n *Node) element(without *Node) *etree.Element {
	el := &etree.Element{Space: n.Prefix, Tag: n.Local}
	el.Attr = make([]etree.Attr, 0, len(n.Attrs)+len(n.Decls))
	for _, d := range n.Decls {
		el.Attr = append(el.Attr, declAttr(d))
	}
	for i := range n.Attrs {
		el.Attr = append(el.Attr, etree.Attr{Space: n.Attrs[i].Prefix, Key: n.Attrs[i].Local, Value: n.Attrs[i].Value})
	}
	if n.Text != "" {
		el.AddChild(etree.NewText(n.Text))
	}
	for c := n.First; c != nil; c = c.Next {
		if c != without {
			el.AddChild(c.element(without))
		}
		if c.Tail != "" {
			el.AddChild(etree.NewText(c.Tail))
		}
	}
	return el
}

func declAttr(d Decl) etree.Attr {
	if d.Prefix == "" {
		return etree.Attr{Key: "xmlns", Value: d.URI}
	}
	return etree.Attr{Space: "xmlns", Key: d.Prefix, Value: d.URI}
}
