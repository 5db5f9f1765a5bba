// Command idpguides writes the set-up steps of each guide in docs/guides/identity-providers: those that the trust page of a connection shows, with
// example values, between the two markers of the page.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/setup"
)

const (
	begin = "<!-- Steps, made by make docs-reference from internal/web/setup. Do not edit. -->\n"
	end   = "<!-- End of the steps. -->\n"
)

// guides are the pages, each with its type and the name of its example IdentityProvider.
var guides = []struct{ page, idpType, name string }{
	{"okta.md", "Okta", "okta"},
	{"entra-id.md", "EntraID", "entra"},
	{"google-workspace.md", "GoogleWorkspace", "google"},
	{"adfs.md", "ADFS", "adfs"},
	{"keycloak.md", "Keycloak", "keycloak"},
	{"others.md", "Generic", "acme"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: idpguides DIRECTORY")
		os.Exit(2)
	}
	for _, g := range guides {
		if err := write(filepath.Join(os.Args[1], g.page), example(g.idpType, g.name)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// example is a connection as the quick start makes it, with logout.
func example(idpType, name string) *snapshot.Connection {
	base := "https://sso.example.com/saml/" + name
	return &snapshot.Connection{
		Name: name, Type: idpType, EntityID: base, ACSURL: base + "/acs", SLOURL: base + "/slo", MetadataURL: base + "/metadata",
		Logout: snapshot.LogoutPolicy{Enabled: true}, Mapping: identity.Preset(idpType),
	}
}

func write(page string, c *snapshot.Connection) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return errors.New(page + " does not have the two markers of the steps")
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+steps(c)+"\n"+end+after), 0o644)
}

func steps(c *snapshot.Connection) string {
	_, list := setup.Steps(c)
	var b strings.Builder
	for i, step := range list {
		fmt.Fprintf(&b, "%d. %s\n", i+1, escaped(step.Where))
		if len(step.Fields) > 0 {
			b.WriteString("\n" + table(step.Fields) + "\n")
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// table is indented, as part of its list item.
func table(fields []pages.Field) string {
	var b strings.Builder
	b.WriteString("   | field | what to enter |\n   |---|---|\n")
	for _, f := range fields {
		value := escaped(f.Value)
		if f.Code {
			value = "`" + f.Value + "`"
		}
		fmt.Fprintf(&b, "   | %s | %s |\n", escaped(f.Name), value)
	}
	return b.String()
}

// escaped is text of the trust page in a guide, which has no page below it.
var escaped = strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`, " metadata address above", " metadata address",
	"certificate below", "certificate on the trust page", "metadata below", "metadata on the trust page", "attributes below", "attributes on the trust page").Replace
