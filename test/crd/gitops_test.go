package crd

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/cli"
)

// gitOpsSample is the repository that docs/gitops.md shows.
const gitOpsSample = "../../docs/examples/gitops"

// TestTheGitOpsSamplePassesItsPipeline runs the check of docs/gitops.md, over what is right and over what is not.
func TestTheGitOpsSamplePassesItsPipeline(t *testing.T) {
	lint := func(stdin string, arguments ...string) (int, string) {
		var out bytes.Buffer
		code := cli.Run(t.Context(), append([]string{"lint", "-o", "github"}, arguments...), cli.Options{In: strings.NewReader(stdin), Out: &out, Err: &out})
		return code, out.String()
	}
	if code, said := lint("", gitOpsSample); code != 0 || strings.Contains(said, "::error") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	built := kubectl(t, "", "kustomize", filepath.Join(gitOpsSample, "sso"))
	if code, said := lint(built, "-"); code != 0 || strings.Contains(said, "::error") {
		t.Errorf("what kustomize builds has exit code %d:\n%s", code, said)
	}
	if code, said := lint(strings.ReplaceAll(built, "domain: acme.test", "domain: acme.example"), "-"); code != 1 || !strings.Contains(said, "acme.example is bound by DomainBinding acme-example") {
		t.Errorf("a domain that is bound twice passes with exit code %d:\n%s", code, said)
	}
}

// TestTheGitOpsSampleIsAppliedOnce applies it as Argo CD and Flux do, by server-side apply, and again: nothing changes and nothing drifts.
func TestTheGitOpsSampleIsAppliedOnce(t *testing.T) {
	folder := filepath.Join(gitOpsSample, "sso")
	apply := []string{"apply", "--server-side", "--field-manager=gitops", "-k", folder}
	kubectl(t, "", apply...)
	for name := range strings.FieldsSeq(kubectl(t, "", "-n", "sso", "get", "sso", "-o", "name")) { // the operator's first visit
		kubectl(t, "", "-n", "sso", "patch", name, "--subresource=status", "--type=merge", "-p", `{"status":{"observedGeneration":1}}`)
	}
	resources := func() string {
		return kubectl(t, "", "-n", "sso", "get", "sso", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion}/{.metadata.generation} {end}`)
	}
	before := resources()
	if n := strings.Count(before, "="); n != 5 {
		t.Fatalf("%d objects are there: %s", n, before)
	}
	kubectl(t, "", apply...)
	if after := resources(); after != before {
		t.Errorf("the second apply has changed something.\nbefore: %s\nafter:  %s", before, after)
	}
	kubectl(t, "", "diff", "--server-side", "--field-manager=gitops", "-k", folder) // fails when there is a difference
}

// TestTheGitOpsSampleIsPrunedFromTheLeaves holds the waves to the references: what refers comes later, and therefore goes earlier, than what is referred to.
func TestTheGitOpsSampleIsPrunedFromTheLeaves(t *testing.T) {
	wave := map[string]string{}
	for _, document := range strings.Split(kubectl(t, "", "kustomize", filepath.Join(gitOpsSample, "sso")), "\n---\n") {
		kind := regexp.MustCompile(`(?m)^kind: (\w+)$`).FindStringSubmatch(document)[1]
		wave[kind] = "0"
		if found := regexp.MustCompile(`sync-wave: "(\d)"`).FindStringSubmatch(document); found != nil {
			wave[kind] = found[1]
		}
	}
	if !(wave["ServiceProvider"] < wave["IdentityProvider"] && wave["IdentityProvider"] < wave["AttributeMapping"] && wave["AttributeMapping"] < wave["DomainBinding"]) {
		t.Errorf("the waves are %v", wave)
	}
}
