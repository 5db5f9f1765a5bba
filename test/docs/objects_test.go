package docs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/offline"
	"sallyport.dev/sallyport/test/internal/crdcases"
)

const ourGroup = "sso.sallyport.dev/"

// foreign kinds are those that no API server of the tests knows. Of the ones with values of our chart, these are looked at.
var foreign = map[string]func(map[string]any) error{
	"snapshot.storage.k8s.io/v1 VolumeSnapshot":     claimExists,
	"argoproj.io/v1alpha1 Application":              valuesAt("spec", "source", "helm", "valuesObject"),
	"helm.toolkit.fluxcd.io/v2 HelmRelease":         valuesAt("spec", "values"),
	"source.toolkit.fluxcd.io/v1 OCIRepository":     nil,
	"kustomize.toolkit.fluxcd.io/v1 Kustomization":  nil,
	"kustomize.config.k8s.io/v1beta1 Kustomization": nil, // kustomize builds it
}

// object judges a complete object. Ours are linted by who calls.
func object(content map[string]any) error {
	version, _ := content["apiVersion"].(string)
	kind, _ := content["kind"].(string)
	check, known := foreign[version+" "+kind]
	switch {
	case strings.HasPrefix(version, ourGroup):
		return nil
	case known && check == nil:
		return nil
	case known:
		return check(content)
	}
	text, err := yaml.Marshal(content)
	if err != nil {
		return err
	}
	err = world.must(string(text), "create", "--dry-run=server", "--validate=strict", "-f", "-")
	if err != nil && strings.Contains(err.Error(), "already exists") {
		return nil
	}
	return err
}

// claimExists: a volume that is not the service provider's is none of a backup.
func claimExists(content map[string]any) error {
	claim, _ := at(content, "spec", "source", "persistentVolumeClaimName").(string)
	return world.must("", "get", "persistentvolumeclaim", "-n", fmt.Sprint(at(content, "metadata", "namespace")), claim)
}

func valuesAt(path ...string) func(map[string]any) error {
	return func(content map[string]any) error {
		if values := at(content, path...); values != nil {
			return rendersWith(values)
		}
		return nil
	}
}

// at is what is at a path of keys; nil where there is nothing.
func at(content any, path ...string) any {
	for _, key := range path {
		section, _ := content.(map[string]any)
		content = section[key]
	}
	return content
}

// lint is `kubectl sso lint`, as a reader would before applying it.
func lint(t *testing.T, manifest string) error {
	documents, problems, err := offline.Load([]string{offline.Stdin}, bytes.NewBufferString(manifest))
	if err != nil {
		return err
	}
	result, err := offline.Check(t.Context(), documents, offline.Options{Namespace: "sso"})
	if err != nil {
		return err
	}
	var found []error
	for _, problem := range append(problems, result.Problems...) {
		if offline.HasErrors([]offline.Problem{problem}) {
			found = append(found, errors.New(problem.Text()))
		}
	}
	return errors.Join(found...)
}

// fragment puts a part of an object, its spec or fields of that, into a small object of each kind. One of the kinds has to take it.
func fragment(t *testing.T, content map[string]any) error {
	if content["spec"] == nil {
		content = map[string]any{"spec": content}
	}
	putCertificates(t, content)
	var nearest error
	for _, kind := range []string{v1alpha1.KindServiceProvider, v1alpha1.KindIdentityProvider, v1alpha1.KindDomainBinding, v1alpha1.KindAttributeMapping} {
		whole := crdcases.Object(t, kind, "", "").Object
		merge(whole, content)
		text, err := yaml.Marshal(whole)
		if err != nil {
			return err
		}
		err = lint(t, string(text))
		if err == nil {
			return nil
		}
		if err = fmt.Errorf("%s: %w", kind, err); nearest == nil || strange(err) < strange(nearest) {
			nearest = err
		}
	}
	return nearest
}

// strange counts what a kind does not know at all: it is not the one that was meant.
func strange(err error) int {
	return strings.Count(err.Error(), "there is no such field")
}

// merge overlays one object with another. Where metadata comes from is one choice, which the fragment makes.
func merge(into, from map[string]any) {
	for key, value := range from {
		inner, section := value.(map[string]any)
		outer, there := into[key].(map[string]any)
		if section && there && key != "metadata" {
			merge(outer, inner)
		} else {
			into[key] = value
		}
	}
}

// ofTheChart tells whether these are values of the chart.
func ofTheChart(content map[string]any) bool {
	defaults, err := os.ReadFile(filepath.Join(root, chart, "values.yaml"))
	if err != nil {
		return false
	}
	var values map[string]any
	if err := yaml.Unmarshal(defaults, &values); err != nil {
		return false
	}
	return !slices.ContainsFunc(slices.Collect(maps.Keys(content)), func(key string) bool { _, known := values[key]; return !known })
}

// alerts has Prometheus read a list of rules.
func alerts(rules []any) error {
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "documentation", "rules": rules}}})
	if err != nil {
		return err
	}
	file := filepath.Join(world.dir, "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); err != nil {
		return fmt.Errorf("promtool (Debian's package prometheus has it): %w\n%s", err, out)
	}
	return nil
}
