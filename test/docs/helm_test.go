package docs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const chart = "charts/sallyport"

// helm takes a command as far as the chart and an API server without releases let it.
func helm(s *script, arguments []string, _ string) (string, error) {
	if len(arguments) == 0 {
		return "", errors.New("helm alone does nothing")
	}
	// Helm reads the flags, and then says what the subcommand is for.
	if _, err := s.helm(append(slices.Clone(arguments), "--help")...); err != nil || s.mention && len(arguments) == 1 {
		return "", err
	}
	switch arguments[0] {
	case "install", "upgrade":
		// What only an upgrade knows is about the values of the release before.
		render := slices.DeleteFunc(slices.Clone(arguments[1:]), func(a string) bool { return a == "--reset-then-reuse-values" })
		return s.helm(append([]string{"template"}, render...)...)
	case "uninstall", "rollback":
		_, err := s.helm(arguments...)
		if err != nil && strings.Contains(err.Error(), "release: not found") {
			err = nil
		}
		return "", err
	case "package":
		return s.helm(arguments...)
	case "push":
		return "", s.push(arguments[1:])
	}
	return "", fmt.Errorf("no test knows `helm %s`: say in test/docs/helm_test.go how it is tried", arguments[0])
}

// push looks for the file that the command before has made: there is no registry.
func (s *script) push(arguments []string) error {
	if len(arguments) != 2 || !strings.HasPrefix(arguments[1], "oci://") {
		return errors.New("helm pushes one file to one oci:// address")
	}
	_, err := os.Stat(filepath.Join(s.dir, arguments[0]))
	return err
}

// helm runs the real one.
func (s *script) helm(arguments ...string) (string, error) {
	command := exec.Command(world.helm, arguments...)
	command.Dir = s.dir
	command.Env = append(os.Environ(), "KUBECONFIG="+world.kubeconfig, "HOME="+world.dir)
	return said(command)
}

// rendersWith renders the chart with values, which its schema judges.
func rendersWith(values any) error {
	text, err := yaml.Marshal(values)
	if err != nil {
		return err
	}
	file := filepath.Join(world.dir, "values.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	_, err = helm(&script{dir: world.dir}, []string{"install", "sallyport", chart, "-f", file}, "")
	return err
}

// TestTheGuidesValuesAreTaken renders the chart with every row of the guide's table. A row without a value names one that the chart has.
func TestTheGuidesValuesAreTaken(t *testing.T) {
	guide := pages(t)["docs/guides/install.md"]
	_, table, found := strings.Cut(guide, "\n| value | for |\n|---|---|\n")
	table, _, ends := strings.Cut(table, "\n\n")
	if !found || !ends {
		t.Fatal("docs/guides/install.md has no table of values")
	}
	for row := range strings.Lines(table) {
		cell := regexp.MustCompile("^\\| `([A-Za-z.]+)(?:: ([^`]+))?` \\|").FindStringSubmatch(row)
		if cell == nil {
			t.Errorf("the guide's row says no value: %s", row)
			continue
		}
		if err := takes(cell[1], cell[2]); err != nil {
			t.Errorf("the guide's value %s: %s: %v", cell[1], cell[2], err)
		}
	}
}

// takes tells whether the chart has the value, and whether it may be set so.
func takes(path, value string) error {
	defaults, err := os.ReadFile(filepath.Join(root, chart, "values.yaml"))
	if err != nil {
		return err
	}
	var at any
	if err := yaml.Unmarshal(defaults, &at); err != nil {
		return err
	}
	keys := strings.Split(path, ".")
	for _, key := range keys {
		section, _ := at.(map[string]any)
		inner, known := section[key]
		if !known {
			return fmt.Errorf("values.yaml has no %s", path)
		}
		at = inner
	}
	if value == "" {
		return nil
	}
	if err := yaml.Unmarshal([]byte(value), &at); err != nil {
		return err
	}
	for _, key := range slices.Backward(keys) {
		at = map[string]any{key: at}
	}
	return rendersWith(at)
}
