package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const samples = "../../config/samples"

type result struct {
	code           int
	stdout, stderr string
}

func sso(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(context.Background(), args, Options{In: strings.NewReader(stdin), Out: &stdout, Err: &stderr})
	return result{code, stdout.String(), stderr.String()}
}

// manifest writes one file and returns its path.
func manifest(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "idp.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const serviceProvider = `apiVersion: sso.sallyport.dev/v1alpha1
kind: ServiceProvider
metadata: {name: main}
spec: {url: "https://sso.example.com"}
---
`

// twoSources is wrong on line 9.
const twoSources = `apiVersion: sso.sallyport.dev/v1alpha1
kind: IdentityProvider
metadata:
  name: okta
spec:
  serviceProviderRef:
    name: main
  saml:
    metadata:
      url: https://idp.example.com/metadata
      inline: <EntityDescriptor/>
`

func TestTheSamplesAreClean(t *testing.T) {
	got := sso(t, "", "lint", samples)
	if got.code != exitClean || got.stdout != "4 objects: nothing to change\n" || got.stderr != "" {
		t.Errorf("%+v", got)
	}
}

func TestGitHubAnnotationsNameTheLine(t *testing.T) {
	file := manifest(t, twoSources)
	got := sso(t, "", "lint", "-o", "github", file)
	want := "::error file=" + file + ",line=9::spec.saml.metadata: exactly one of url, inline, fromConfigMap, fromSecret, manual\n"
	if got.code != exitFindings || !strings.Contains(got.stdout, want) {
		t.Errorf("%+v\nwant %s", got, want)
	}
}

func TestLintFindsWhatWouldBeRefused(t *testing.T) {
	idp := func(metadata string) string {
		return serviceProvider + "apiVersion: sso.sallyport.dev/v1alpha1\nkind: IdentityProvider\nmetadata: {name: okta}\nspec:\n  serviceProviderRef: {name: main}\n  saml:\n    metadata:\n" + metadata
	}
	binding := func(name, domain, to string) string {
		return "---\napiVersion: sso.sallyport.dev/v1alpha1\nkind: DomainBinding\nmetadata: {name: " + name + "}\nspec:\n  domain: " + domain + "\n  identityProviderRef: {name: " + to + "}\n"
	}
	inline := idp("      inline: |\n" + sampleMetadata(t))
	for name, c := range map[string]struct{ manifest, want string }{
		"http":               {idp("      url: http://idp.example.com/m\n"), ":13: error: spec.saml.metadata.url: must be an absolute https:// URL"},
		"a bad PEM":          {idp("      manual:\n        entityID: urn:idp\n        ssoURL: https://idp.example.com\n        certificates:\n        - not a certificate\n"), ":17: error: spec.saml.metadata.manual.certificates[0]: "},
		"bad XML":            {idp("      inline: <html>\n"), ":13: error: spec.saml.metadata.inline: "},
		"an unknown field":   {idp("      urll: https://idp.example.com/m\n"), ":13: error: spec.saml.metadata.urll: there is no such field"},
		"a missing IdP":      {inline + binding("acme", "acme.example", "nobody"), "error: spec.identityProviderRef: there is no IdentityProvider \"nobody\" in this namespace"},
		"a public suffix":    {inline + binding("acme", "co.uk", "okta"), "error: spec.domain: co.uk is a public suffix"},
		"a Unicode domain":   {inline + binding("acme", "bücher.example", "okta"), "write xn--bcher-kva.example"},
		"a conflict":         {inline + binding("a", "acme.example", "okta") + binding("b", "acme.example", "okta"), "error: spec.domain: acme.example is bound by DomainBinding a, which is older"},
		"the same twice":     {inline + binding("a", "acme.example", "okta") + binding("a", "acme.org", "okta"), "DomainBinding a is in "},
		"a missing provider": {strings.Replace(inline, "{name: main}\n  saml", "{name: other}\n  saml", 1), "error: spec.serviceProviderRef: there is no ServiceProvider \"other\" in this namespace"},
		"replicas":           {strings.Replace(serviceProvider, "spec: {", "spec: {replicas: 2, ", 1), ":4: error: spec: replicas > 1 requires store.postgres"},
		"a wrong kind":       {"apiVersion: sso.sallyport.dev/v1alpha1\nkind: IdentityProvder\nmetadata: {name: a}\n", ":2: error: kind: there is no kind \"IdentityProvder\""},
		"a wrong version":    {"apiVersion: sso.sallyport.dev/v1\nkind: IdentityProvider\nmetadata: {name: a}\n", ":1: error: apiVersion: there is no version \"v1\": write sso.sallyport.dev/v1alpha1"},
		"a missing field":    {serviceProvider + "apiVersion: sso.sallyport.dev/v1alpha1\nkind: DomainBinding\nmetadata: {name: a}\nspec:\n  domain: acme.example\n", "error: spec.identityProviderRef: required"},
		"a name":             {strings.Replace(serviceProvider, "main", strings.Repeat("a", 41), 1), "error: metadata.name must be at most 40 characters"},
		"no YAML":            {"a: [", ": error: yaml"},
		"a key twice":        {"apiVersion: sso.sallyport.dev/v1alpha1\nkind: DomainBinding\nkind: DomainBinding\n", "already"},
		"a bad rule": {inline + "---\napiVersion: sso.sallyport.dev/v1alpha1\nkind: AttributeMapping\nmetadata: {name: a}\nspec:\n  identityProviderRef: {name: okta}\n  rules:\n  - when: \"'ML' in\"\n    addGroups: [a]\n",
			"error: spec.rules[0].when: "},
		"a failing example": {inline + "---\napiVersion: sso.sallyport.dev/v1alpha1\nkind: AttributeMapping\nmetadata: {name: a}\nspec:\n  identityProviderRef: {name: okta}\n  examples:\n  - attributes: {email: [alice@acme.example]}\n    expect: {email: bob@acme.example}\n",
			"error: spec.examples[0]: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := sso(t, "", "lint", manifest(t, c.manifest))
			if got.code != exitFindings || !strings.Contains(got.stdout, c.want) {
				t.Errorf("exit %d, want %q in\n%s%s", got.code, c.want, got.stdout, got.stderr)
			}
			if name != "a Unicode domain" && name != "a key twice" && strings.Count(got.stdout, ": error: ") != 1 {
				t.Errorf("one mistake, and\n%s", got.stdout)
			}
		})
	}
}

// sampleMetadata is the XML of the sample IdP.
func sampleMetadata(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(samples + "/3-identityprovider.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, xml, found := strings.Cut(string(content), "inline: |\n")
	if !found {
		t.Fatal("the sample has no inline metadata")
	}
	return xml
}

func TestWhatCannotBeLookedAtIsNotedAndNotBlamed(t *testing.T) {
	url := strings.Replace(twoSources, "      inline: <EntityDescriptor/>\n", "", 1)
	for name, c := range map[string]struct{ manifest, want string }{
		"metadata by URL":    {serviceProvider + url, ":15: note: spec.saml.metadata.url: metadata by URL is not fetched: not checked (IdentityProvider okta)"},
		"a part of a set":    {url, ":6: note: spec.serviceProviderRef: ServiceProvider main is not among the files: not checked"},
		"one binding":        {"apiVersion: sso.sallyport.dev/v1alpha1\nkind: DomainBinding\nmetadata: {name: a}\nspec: {domain: acme.example, identityProviderRef: {name: okta}}\n", "note: spec.identityProviderRef: IdentityProvider okta is not among the files: not checked"},
		"a Secret elsewhere": {serviceProvider + strings.Replace(url, "url: https://idp.example.com/metadata", "fromSecret: {name: idp}", 1), "note: spec.saml.metadata.fromSecret: Secret idp is not among the files: not checked"},
	} {
		got := sso(t, "", "lint", manifest(t, c.manifest))
		if got.code != exitClean || !strings.Contains(got.stdout, c.want) {
			t.Errorf("%s: exit %d, want %q in\n%s%s", name, got.code, c.want, got.stdout, got.stderr)
		}
	}
}

func TestAReferencedSecretAmongTheFilesIsRead(t *testing.T) {
	secret := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: idp}\nstringData: {metadata.xml: \"<html/>\"}\n"
	idp := serviceProvider + strings.Replace(strings.Replace(twoSources, "      inline: <EntityDescriptor/>\n", "", 1), "url: https://idp.example.com/metadata", "fromSecret: {name: idp}", 1)
	got := sso(t, "", "lint", manifest(t, idp+secret))
	if got.code != exitFindings || !strings.Contains(got.stdout, "error: spec.saml.metadata.fromSecret: ") {
		t.Errorf("%+v", got)
	}
	got = sso(t, "", "lint", manifest(t, idp+strings.Replace(secret, "metadata.xml", "other", 1)))
	if got.code != exitFindings || !strings.Contains(got.stdout, "Secret idp has no key metadata.xml: add it, or name another key.") {
		t.Errorf("%+v", got)
	}
}

func TestStandardInputAndLists(t *testing.T) {
	list := `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "sso.sallyport.dev/v1alpha1", "kind": "DomainBinding", "metadata": {"name": "a"}, "spec": {"domain": "com.", "identityProviderRef": {"name": "a"}}}]}`
	got := sso(t, list, "lint", "-")
	if got.code != exitFindings || !strings.Contains(got.stdout, "-:1: error: spec.domain: domain must not end with a dot") {
		t.Errorf("%+v", got)
	}
}

func TestOtherObjectsAreLeftAlone(t *testing.T) {
	got := sso(t, "", "lint", manifest(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: nonsense\n---\nreplicaCount: 3\n---\n- a\n- b\n"))
	if got.code != exitClean || got.stdout != "0 objects: nothing to change\n" {
		t.Errorf("%+v", got)
	}
}

func TestUsageErrorsAreOneLineAndExitWithTwo(t *testing.T) {
	for want, args := range map[string][]string{
		"name at least one file or directory":                    {"lint"},
		"no such file or directory":                              {"lint", "/nonexistent"},
		`--output "xml": write one of text, json, sarif, github`: {"lint", "-o", "xml", samples},
		"unknown flag":                        {"lint", "--wrong", samples},
		"unknown command":                     {"wrong"},
		"name the directory to write to":      {"render", samples},
		"has no .yaml, .yml or .json file":    {"lint", t.TempDir()},
		"there is no ServiceProvider \"two\"": {"render", "-o", t.TempDir(), "--service-provider", "two", samples},
	} {
		got := sso(t, "", args...)
		if got.code != exitUsage || !strings.Contains(got.stderr, want) || strings.Count(strings.TrimSpace(got.stderr), "error: ") != 1 {
			t.Errorf("%v: %+v, want %q", args, got, want)
		}
	}
}

func TestJSONAndSARIF(t *testing.T) {
	file := manifest(t, twoSources)
	var report struct {
		Objects  int
		Problems []struct {
			File, Severity, Kind, Name, Field, Reason, Message string
			Line                                               int
		}
	}
	got := sso(t, "", "lint", "-o", "json", file)
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	found := false
	for _, p := range report.Problems {
		found = found || p.Severity == "error" && p.File == file && p.Line == 9 && p.Kind == "IdentityProvider" && p.Name == "okta" && p.Field == "spec.saml.metadata"
	}
	if report.Objects != 1 || !found {
		t.Errorf("%+v", report)
	}
	var log sarifLog
	got = sso(t, "", "lint", "-o", "sarif", file)
	if err := json.Unmarshal([]byte(got.stdout), &log); err != nil {
		t.Fatal(err)
	}
	if got.code != exitFindings || log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Fatalf("%+v", got)
	}
	for _, r := range log.Runs[0].Results {
		if r.Level == "error" && r.Locations[0].PhysicalLocation.Region.StartLine == 9 && strings.HasPrefix(r.Message.Text, "spec.saml.metadata: exactly one of") {
			return
		}
	}
	t.Errorf("no result on line 9: %s", got.stdout)
}

func TestASecretsValueIsNeverPrinted(t *testing.T) {
	got := sso(t, "", "lint", manifest(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {key: \"hunter2 is not base64\"}\n"))
	if got.code != exitFindings || strings.Contains(got.stdout+got.stderr, "hunter2") {
		t.Errorf("%+v", got)
	}
}
