package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const gitOps = "docs/examples/gitops"

// TestTheGitOpsRepositoryIsWhole judges every file of the sample as a block of a page is judged, and looks for the folders that its objects name.
func TestTheGitOpsRepositoryIsWhole(t *testing.T) {
	version := chartVersion(t)
	files := 0
	err := filepath.WalkDir(filepath.Join(root, gitOps), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p := passage{page: strings.TrimPrefix(path, root+"/"), line: 1}
		if err := p.accept(t, string(text)); err != nil {
			t.Errorf("%s: %v", p.page, err)
		}
		documents, err := parsed(string(text))
		if err != nil {
			return err
		}
		for _, document := range documents {
			if err := leadsSomewhere(document, version); err != nil {
				t.Errorf("%s: %v", p.page, err)
			}
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("%d files were found: %v", files, err)
	}
	for _, folder := range []string{"operator", "sso"} {
		if err := world.must("", "kustomize", filepath.Join(gitOps, folder)); err != nil {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

func chartVersion(t *testing.T) string {
	content, err := os.ReadFile(filepath.Join(root, chart, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	documents, err := parsed(string(content))
	if err != nil {
		t.Fatal(err)
	}
	return at(documents[0], "version").(string)
}

// leadsSomewhere holds the folder that an object of a GitOps tool watches to be there, and the version of the chart to be ours.
func leadsSomewhere(document any, version string) error {
	for _, folder := range []any{at(document, "spec", "path"), at(document, "spec", "source", "path")} {
		if name, named := folder.(string); named {
			if _, err := os.Stat(filepath.Join(root, gitOps, name, "kustomization.yaml")); err != nil {
				return err
			}
		}
	}
	for _, of := range []any{at(document, "spec", "ref", "tag"), at(document, "spec", "source", "targetRevision")} {
		if of != nil && of != version && of != "main" {
			return fmt.Errorf("the chart's version is %s, and not %v", version, of)
		}
	}
	return nil
}
