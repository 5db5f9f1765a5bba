package identity_test

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity"
)

func TestNormaliseAddress(t *testing.T) {
	cases := []struct{ in, want string }{
		{"alice@example.com", "alice@example.com"},
		{"Alice.Liddell@EXAMPLE.Com", "alice.liddell@example.com"},
		{"  alice@example.com\n", "alice@example.com"},
		{"alice+tag@example.com", "alice+tag@example.com"},
		{"o'hara@example.com", "o'hara@example.com"},
		{"alice@bücher.example", "alice@xn--bcher-kva.example"},
		{"alice@BÜCHER.example", "alice@xn--bcher-kva.example"},
		{"alice@xn--bcher-kva.example", "alice@xn--bcher-kva.example"},
		{"alice@XN--BCHER-KVA.example", "alice@xn--bcher-kva.example"},
		{"alice@ｅｘａｍｐｌｅ.com", "alice@example.com"},
		{"alice@example。com", "alice@example.com"},
		// Look-alikes are other domains, never the one that they look like.
		{"alice@exаmple.com", "alice@xn--exmple-4nf.com"},
		{"alice@examp1e.com", "alice@examp1e.com"},
		{"alice@straße.example", "alice@xn--strae-oqa.example"},

		{"", ""},
		{"alice", ""},
		{"@example.com", ""},
		{"alice@", ""},
		{"alice@example.com.", ""},
		{"alice@example", ""},
		{"alice@@example.com", ""},
		{"alice@bob@example.com", ""},
		{`"alice"@example.com`, ""},
		{`"a@b"@example.com`, ""},
		{"alice(comment)@example.com", ""},
		{"Alice <alice@example.com>", ""},
		{"alice smith@example.com", ""},
		{"alice@exam ple.com", ""},
		{"alice\x00@example.com", ""},
		{"alice@example.com\x00", ""},
		{"alice@exa\nmple.com", ""},
		{".alice@example.com", ""},
		{"alice.@example.com", ""},
		{"al..ice@example.com", ""},
		{"alice@[192.0.2.1]", ""},
		{"alice@-example.com", ""},
		{"alice@exam_ple.com", ""},
		{"alice@example..com", ""},
		{"alice@.example.com", ""},
		{"alice@xn--example-.com", ""},
		{"alice@xn--a.com", ""},
		{"аlice@example.com", ""},
		// Two letters whose lower cases are in ASCII: they would be somebody else's address.
		{"al\u0130ce@example.com", ""},
		{"\u212aate@example.com", ""},
		{"alice\u200b@example.com", ""},
		{"alice\xff@example.com", ""},
		{strings.Repeat("a", 65) + "@example.com", ""},
		{"alice@" + strings.Repeat("a.", 126) + "com", ""},
		{"alice@" + strings.Repeat("x", 100_000) + ".com", ""},
	}
	for _, c := range cases {
		got, err := identity.NormaliseAddress(c.in)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%q was accepted as %s", c.in, got)
		case c.want != "" && (err != nil || got.String() != c.want):
			t.Errorf("%q became %s, %v, want %s", c.in, got, err, c.want)
		}
	}
}

// FuzzNormaliseAddress: what is accepted is in its one spelling, and normalising it again changes nothing.
func FuzzNormaliseAddress(f *testing.F) {
	for _, s := range []string{"alice@example.com", "a@xn--bcher-kva.example", "a@ｅｘ.com", `"a"@b.c`, "a@b。c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, err := identity.NormaliseAddress(in)
		if err != nil {
			return
		}
		s := a.String()
		if strings.Count(s, "@") != 1 || strings.ToLower(s) != s || strings.HasSuffix(s, ".") || strings.ContainsAny(s, " \t\r\n\"<>()[],:;\\") {
			t.Fatalf("%q became %q", in, s)
		}
		for i := range len(s) {
			if s[i] >= 0x80 || s[i] < 0x20 {
				t.Fatalf("%q became %q", in, s)
			}
		}
		if again, err := identity.NormaliseAddress(s); err != nil || again != a {
			t.Fatalf("%q became %q, then %v, %v", in, s, again, err)
		}
	})
}
