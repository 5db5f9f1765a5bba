package chart

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/test/internal/apiserver"
)

// TestTheGuidesCommandsAreTaken renders the chart with the very arguments of the README and of docs/guides/install.md: flags and values that Helm or
// the schema does not know are found here and not by a reader.
func TestTheGuidesCommandsAreTaken(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(root, "docs", "guides", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^ *helm (?:install|upgrade) (.*)$`).FindAllStringSubmatch(string(guide)+string(readme), -1)
	if len(commands) < 4 {
		t.Fatalf("only %d commands were found", len(commands))
	}
	for _, command := range commands {
		// `helm template` knows what `helm install` does; what only an upgrade knows is about the values of the release before.
		arguments := strings.Fields(strings.ReplaceAll(command[1], "--reset-then-reuse-values", ""))
		render := exec.Command(helm, append([]string{"template"}, arguments...)...)
		render.Dir = root
		if out, err := render.CombinedOutput(); err != nil {
			t.Errorf("helm template %s: %v\n%s", strings.Join(arguments, " "), err, out)
		}
	}
	for _, value := range regexp.MustCompile("(?m)^\\| `([a-zA-Z.]+): ?([^`]*)` \\|").FindAllStringSubmatch(string(guide), -1) {
		set := []string{"template", "sallyport", chart, "--set-json", value[1] + "=" + quoted(value[2])}
		if out, err := exec.Command(helm, set...).CombinedOutput(); err != nil {
			t.Errorf("the guide's value %s: %s: %v\n%s", value[1], value[2], err, out)
		}
	}
}

// quoted makes JSON of a short YAML value.
func quoted(value string) string {
	switch {
	case value == "true" || value == "false" || regexp.MustCompile(`^\d+$`).MatchString(value):
		return value
	case strings.HasPrefix(value, "["):
		return `["` + strings.Trim(value, "[]") + `"]`
	}
	return `"` + value + `"`
}

// TestTheImageOfTheDocumentationIsInstalled does what `kustomize edit set image` writes, as the documentation says it, and looks at what is installed.
func TestTheImageOfTheDocumentationIsInstalled(t *testing.T) {
	kubectl, err := filepath.Abs(apiserver.Kubectl())
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, page := range []string{"quickstart.md", "guides/install.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`kustomize edit set image (\S+)=(\S+):([^\s)]+)`).FindAllStringSubmatch(string(text), -1) {
			commands++
			copied := t.TempDir()
			if out, err := exec.Command("cp", "-r", filepath.Join(root, "config"), copied).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			folder := filepath.Join(copied, "config", "default")
			file, err := os.OpenFile(filepath.Join(folder, "kustomization.yaml"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.WriteString("images: [{name: " + found[1] + ", newName: " + found[2] + ", newTag: " + found[3] + "}]\n")
			if err := errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(kubectl, "kustomize", folder).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			// The operator's own, and the one that service providers run.
			if image := found[2] + ":" + found[3]; strings.Count(string(out), image) != 2 {
				t.Errorf("%s: %s is %d of the two images", page, image, strings.Count(string(out), image))
			}
		}
	}
	if commands < 2 {
		t.Errorf("only %d commands were found", commands)
	}
}
