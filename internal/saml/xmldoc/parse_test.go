package xmldoc

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func parse(s string) (*Node, error) { return Parse([]byte(s), DefaultLimits()) }

func TestParseReads(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty element", `<a/>`, `{}a`},
		{"text", `<a>x</a>`, `{}a "x"`},
		{"declaration", "<?xml version='1.0' encoding=\"utf-8\" standalone='yes' ?>\n<a/>", `{}a`},
		{"byte order mark", "\ufeff<a/>", `{}a`},
		{"comments outside", "<!-- 1 --><a/><!-- 2 -->\n", `{}a`},
		{"CDATA", `<a>x<![CDATA[<&]]>y</a>`, `{}a "x<&y"`},
		{"entities", `<a b="&lt;&#65;&#x1F600;&quot;">&amp;&gt;&apos;</a>`, `{}a {}b="<A😀\"" "&>'"`},
		{"line ends", "<a>1\r\n2\r3\n4&#13;</a>", `{}a "1\n2\n3\n4\r"`},
		{"attribute white space", "<a b=' 1\t2\r\n3&#10; '/>", `{}a {}b=" 1 2 3\n "`},
		{"namespaces", `<p:a xmlns:p="urn:1" xmlns="urn:2" p:x="1" x="2"><b/></p:a>`, `{urn:1}a {urn:1}x="1" {}x="2" ({urn:2}b)`},
		{"shadowed prefix", `<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2"/><p:c/></p:a>`, `{urn:1}a ({urn:2}b {urn:1}c)`},
		{"default namespace undone", `<a xmlns="urn:1"><b xmlns=""/></a>`, `{urn:1}a ({}b)`},
		{"xml prefix", `<a xml:lang="de"/>`, `{}a {http://www.w3.org/XML/1998/namespace}lang="de"`},
		{"white space between elements", "<a>\n <b/>\n <c>1</c>\n</a>", `{}a ({}b {}c "1")`},
		{"comment between elements", "<a><b/><!-- x --><c/></a>", `{}a ({}b {}c)`},
		{"spaces in tags", "<a  b = '1'  ></a  >", `{}a {}b="1"`},
	} {
		n, err := parse(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := show(n); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// show writes a tree without prefixes and white space between elements.
func show(n *Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{%s}%s", n.Space, n.Local)
	for _, a := range n.Attrs {
		fmt.Fprintf(&b, " {%s}%s=%q", a.Space, a.Local, a.Value)
	}
	if n.First == nil {
		if n.Text != "" {
			fmt.Fprintf(&b, " %q", n.Text)
		}
		return b.String()
	}
	var kids []string
	for c := n.First; c != nil; c = c.Next {
		kids = append(kids, show(c))
	}
	return b.String() + " (" + strings.Join(kids, " ") + ")"
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		``, ` `, `a`, `<`, `<>`, `<a`, `<a>`, `<a/`, `</a>`, `<a></b>`, `<a><b></a></b>`, `<a/><b/>`, `<a/>x`, `x<a/>`, `<a b/>`, `<a b=/>`, `<a b="/>`, `<a b='1"/>`,
		`<a b="1"c="2"/>`, `<a b="1" b="2"/>`, `<a b="<"/>`, `<a>&</a>`, `<a>&x;</a>`, `<a>&#;</a>`, `<a>&#x;</a>`, `<a>&#0;</a>`, `<a>&#xD800;</a>`, `<a>&#x110000;</a>`,
		`<a>&#99999999999;</a>`, `<a>&lt</a>`, `<a>]]></a>`, `<a><![CDATA[</a>`, `<a><!-- -- --></a>`, `<a><!-- </a>`, `<a><!--></a>`, `<a>x<!-- --></a>`, `<a><!-- -->x</a>`,
		`<a>x<b/></a>`, `<a><b/>x</a>`, `<a><?x?></a>`, `<?x?><a/>`, `<?xml version="1.1"?><a/>`, `<?xml version="1.0" encoding="latin1"?><a/>`, `<?xml?><a/>`, `<?xml version="1.0"`,
		`<?xml encoding="UTF-8" version="1.0"?><a/>`, `<?xml version="1.0" version="1.0"?><a/>`, ` <?xml version="1.0"?><a/>`, `<!DOCTYPE a><a/>`, `<a><!DOCTYPE a></a>`, `<!ENTITY a "b"><a/>`,
		`<a:b/>`, `<a xmlns:b=""/>`, `<a xmlns:xml="urn:x"/>`, `<a xmlns:xmlns="urn:x"/>`, `<a xmlns="http://www.w3.org/2000/xmlns/"/>`, `<a xmlns="http://www.w3.org/XML/1998/namespace"/>`,
		`<xmlns:a/>`, `<a xmlns:p="u" xmlns:q="u" p:x="1" q:x="2"/>`, `<a:b:c xmlns:a="u"/>`, `<:a/>`, `<a:/>`, `<1a/>`, `<-a/>`, `<a b:="1"/>`, "<a>\x01</a>", "<a>\uFFFE</a>", "<a>\xff</a>",
		"<a b='\x00'/>", `<a><!-- ` + "\x02" + ` --></a>`, `<a><![CDATA[` + "\x03" + `]]></a>`, `<a/ >`, `<größe/>`, `<a 名="1"/>`, `< a/>`, `<a / >`, `<a></ a>`,
	} {
		n, err := parse(in)
		if err == nil {
			t.Errorf("%q is read as %s", in, show(n))
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v is not ErrMalformed", in, err)
		} else if in != "" && len(in) > 20 && strings.Contains(err.Error(), in[5:15]) {
			t.Errorf("%q: the error quotes the document: %v", in, err)
		}
	}
}

func TestLimitsAreExact(t *testing.T) {
	l := Limits{MaxBytes: 1000, MaxDepth: 3, MaxElements: 4, MaxAttributes: 5, MaxAttributesPerElement: 3, MaxNamespaces: 2, MaxComments: 1}
	for _, tc := range []struct{ at, past, what string }{
		{`<a><b><c/></b></a>`, `<a><b><c><d/></c></b></a>`, "levels"},
		{`<a><b/><b/><b/></a>`, `<a><b/><b/><b/><b/></a>`, "elements"},
		{`<a x="" y=""><b x="" y="" z=""/></a>`, `<a x="" y="" z=""><b x="" y="" z=""/></a>`, "attributes"},
		{`<a x="" y="" z=""/>`, `<a x="" y="" z="" u=""/>`, "attributes of one"},
		{`<a xmlns:p="1" xmlns:q="1"/>`, `<a xmlns:p="1" xmlns:q="1" xmlns:r="1"/>`, "namespace"},
		{`<a xmlns:p="1"><b xmlns:q="1"/><b xmlns:q="1"/></a>`, `<a xmlns:p="1"><b xmlns:q="1"><c xmlns:q="1"/></b></a>`, "namespace"},
		{`<a><!----></a>`, `<a><!----><b/><!----></a>`, "comments"},
		{`<a>` + strings.Repeat("x", 993) + `</a>`, `<a>` + strings.Repeat("x", 994) + `</a>`, "bytes"},
	} {
		if _, err := Parse([]byte(tc.at), l); err != nil {
			t.Errorf("%.60s: %v", tc.at, err)
		}
		_, err := Parse([]byte(tc.past), l)
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), tc.what) {
			t.Errorf("%.60s: %v, want a limit on %s", tc.past, err, tc.what)
		}
	}
}

func TestFragmentTakesItsContext(t *testing.T) {
	context := []Decl{{"s", "urn:saml"}, {"", "urn:default"}}
	n, err := ParseFragment([]byte(`<s:a><b/><s:c xmlns:s="urn:other"/></s:a>`), context, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(n), `{urn:saml}a ({urn:default}b {urn:other}c)`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c, err := n.First.Next.Canonical(nil, "")
	if want := `<s:c xmlns:s="urn:other"></s:c>`; err != nil || string(c) != want {
		t.Errorf("%s, %v; want %s", c, err, want)
	}
	whole, err := n.Canonical(nil, "")
	if want := `<s:a xmlns:s="urn:saml"><b xmlns="urn:default"></b><s:c xmlns:s="urn:other"></s:c></s:a>`; err != nil || string(whole) != want {
		t.Errorf("%s, %v; want %s", whole, err, want)
	}
}

func TestCanonical(t *testing.T) {
	for _, tc := range []struct{ name, in, prefixes, want string }{
		{"attributes are sorted by namespace, then name", `<a xmlns:z="urn:a" xmlns:y="urn:b" y:k="1" z:k="2" b="3" a="4"/>`, "",
			`<a xmlns:y="urn:b" xmlns:z="urn:a" a="4" b="3" z:k="2" y:k="1"></a>`},
		{"unused declarations go", `<a xmlns:u="urn:u"><u:b/></a>`, "", `<a><u:b xmlns:u="urn:u"></u:b></a>`},
		{"listed declarations stay", `<a xmlns:u="urn:u"><b/></a>`, "u", `<a xmlns:u="urn:u"><b></b></a>`},
		{"redundant declarations go", `<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:1"/></p:a>`, "", `<p:a xmlns:p="urn:1"><p:b></p:b></p:a>`},
		{"characters", "<a b=\"&lt;&amp;&quot;&#9;&#10;&#13;&gt;\">&lt;&amp;&gt;&#13;\"'</a>", "", "<a b=\"&lt;&amp;&quot;&#x9;&#xA;&#xD;>\">&lt;&amp;&gt;&#xD;\"'</a>"},
		{"comments and CDATA", "<a><!-- x --><b><![CDATA[<]]></b></a>", "", "<a><b>&lt;</b></a>"},
		{"white space stays", "<a>\n\t<b/> \n</a>", "", "<a>\n\t<b></b> \n</a>"},
	} {
		n, err := parse(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.Canonical(nil, tc.prefixes)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v; want %s", tc.name, got, err, tc.want)
		}
	}
}

func TestCanonicalLeavesOutOneElement(t *testing.T) {
	n, err := parse("<a> <b/> <c/> </a>")
	if err != nil {
		t.Fatal(err)
	}
	got, err := n.Canonical(n.First, "")
	if want := "<a>  <c></c> </a>"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if again, _ := n.Canonical(nil, ""); string(again) != "<a> <b></b> <c></c> </a>" {
		t.Errorf("Canonical changed the tree: %q", again)
	}
}

// FuzzParse: whatever Parse reads, encoding/xml reads in the same way, and its canonical form is read in the same way again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`<a/>`, `<p:a xmlns:p="urn:1" xmlns="urn:2" p:x="1" x="2"><b>t</b></p:a>`, "<a>1\r\n2<![CDATA[<&]]></a>", `<a b="&lt;&#65;">&amp;</a>`, `<!-- x --><a><b/><!-- y --></a>`,
		`<a xmlns:p="xmlns" p:b="1"/>`, `<?xml version="1.0" encoding="UTF-8"?><a xml:lang="de"/>`, `<a xmlns="u"><b xmlns=""><c xmlns="v"/></b></a>`, `<!DOCTYPE a><a/>`, `<a::b/>`, "<größe/>", `<a><a><a/></a></a>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data, DefaultLimits())
		if err != nil {
			if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		ours := show(n)
		theirs, err := showGo(data)
		if err != nil {
			t.Fatalf("encoding/xml does not read %q: %v", data, err)
		}
		if strings.Contains(string(data), "&#") {
			// A character that is written by reference is not normalized, and encoding/xml no longer knows which one was.
			ours, theirs = flat.Replace(ours), flat.Replace(theirs)
		}
		// encoding/xml shows attributes of a namespace of that name as declarations.
		if ours != theirs && !strings.Contains(ours, "{xmlns}") {
			t.Fatalf("%q is %s here and %s there", data, ours, theirs)
		}
		canonical, err := n.Canonical(nil, "")
		if err != nil {
			t.Fatalf("%q has no canonical form: %v", data, err)
		}
		again, err := Parse(canonical, Limits{MaxBytes: 10 << 20, MaxDepth: 100, MaxElements: 1 << 20, MaxAttributes: 1 << 20, MaxAttributesPerElement: 1000, MaxNamespaces: 1000})
		if err != nil {
			t.Fatalf("the canonical form %q of %q: %v", canonical, data, err)
		}
		if sorted(again) != sorted(n) {
			t.Fatalf("%q means %s, its canonical form %s", data, sorted(n), sorted(again))
		}
		twice, err := again.Canonical(nil, "")
		if err != nil || string(twice) != string(canonical) {
			t.Fatalf("the canonical form of %q changes again: %q, %q", data, canonical, twice)
		}
	})
}

// sorted is show with attributes in a fixed order.
func sorted(n *Node) string {
	n.Walk(func(m *Node) bool {
		for i := range m.Attrs {
			for j := i; j > 0 && m.Attrs[j-1].Space+" "+m.Attrs[j-1].Local > m.Attrs[j].Space+" "+m.Attrs[j].Local; j-- {
				m.Attrs[j-1], m.Attrs[j] = m.Attrs[j], m.Attrs[j-1]
			}
		}
		return true
	})
	return show(n)
}

// showGo is show by way of encoding/xml.
func showGo(data []byte) (string, error) {
	d := xml.NewDecoder(strings.NewReader(string(data)))
	var root *Node
	var stack []*Node
	var text []string
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return show(root), nil
		}
		if err != nil {
			return "", err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &Node{Space: normalize(tok.Name.Space, string(data)), Local: tok.Name.Local}
			for _, a := range tok.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					continue
				}
				n.Attrs = append(n.Attrs, Attr{Space: normalize(a.Name.Space, string(data)), Local: a.Name.Local, Value: normalize(a.Value, string(data))})
			}
			if len(stack) > 0 {
				attach(stack[len(stack)-1], n)
			} else {
				root = n
			}
			stack, text = append(stack, n), append(text, "")
		case xml.CharData:
			if len(stack) > 0 {
				text[len(text)-1] += string(tok)
			}
		case xml.EndElement:
			stack[len(stack)-1].Text = text[len(text)-1]
			stack, text = stack[:len(stack)-1], text[:len(text)-1]
		}
	}
}

// normalize does what encoding/xml leaves out: white space in attribute values, the names of namespaces among them (XML 1.0, 3.3.3). Documents that write such
// characters by reference are left as they are.
func normalize(value, doc string) string {
	if strings.Contains(doc, "&#") {
		return value
	}
	return strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(value)
}

var flat = strings.NewReplacer(`\n`, " ", `\t`, " ", `\r`, " ")
