// Package offline does with files what the operator does with a cluster: it reads manifests, validates them with the schema and the
// rules of the CustomResourceDefinitions, resolves trust, and compiles. No API server is needed, and none is asked.
package offline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// maxFileBytes bounds one manifest file: far more than an API server takes for one object.
const maxFileBytes = 16 << 20

// maxListDepth bounds Lists inside of Lists.
const maxListDepth = 4

// Document is one object of a manifest.
type Document struct {
	// File as it was named, with "-" for standard input.
	File string
	// Object is what the document says; its namespace may be empty.
	Object *unstructured.Unstructured

	node *yaml.Node
}

// Stdin is the path that stands for standard input.
const Stdin = "-"

// Load reads manifests from files, from directories (every .yaml, .yml and .json file in them, also deeper) and from standard input.
// What is not YAML is a problem of that file alone; an error means that a path could not be read at all.
func Load(paths []string, stdin io.Reader) ([]Document, []Problem, error) {
	var documents []Document
	var problems []Problem
	for _, path := range paths {
		files, err := expandPath(path)
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			content, err := readFile(file, stdin)
			if err != nil {
				return nil, nil, err
			}
			found, bad := parse(file, content)
			documents = append(documents, found...)
			problems = append(problems, bad...)
		}
	}
	return documents, problems, nil
}

func expandPath(path string) ([]string, error) {
	if path == Stdin {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != path && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case entry.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)):
			files = append(files, file)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s has no .yaml, .yml or .json file", path)
	}
	return files, err
}

func readFile(path string, stdin io.Reader) ([]byte, error) {
	reader := stdin
	if path != Stdin {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		reader = file
	}
	content, err := io.ReadAll(io.LimitReader(reader, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("%s is longer than %d MiB: split it", path, maxFileBytes>>20)
	}
	return content, nil
}

// parse returns the Kubernetes objects in a file. Documents without apiVersion and kind (values of a chart, say) are not ours to judge.
func parse(file string, content []byte) ([]Document, []Problem) {
	var documents []Document
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return documents, []Problem{yamlProblem(file, err)}
		}
		found, err := objectsIn(file, &node)
		if err != nil {
			return documents, []Problem{{File: file, Line: max(node.Line, 1), Severity: SeverityError, Reason: "NotYAML", Message: err.Error()}}
		}
		documents = append(documents, found...)
	}
}

func objectsIn(file string, document *yaml.Node) ([]Document, error) {
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, nil
	}
	return objectsOf(file, document.Content[0], 0)
}

func objectsOf(file string, node *yaml.Node, depth int) ([]Document, error) {
	if node.Kind != yaml.MappingNode || child(node, "apiVersion") == nil || child(node, "kind") == nil {
		return nil, nil
	}
	if items := child(node, "items"); child(node, "kind").Value == "List" && items != nil && items.Kind == yaml.SequenceNode {
		if depth == maxListDepth {
			return nil, fmt.Errorf("lists are nested more than %d deep", maxListDepth)
		}
		var documents []Document
		for _, item := range items.Content {
			found, err := objectsOf(file, item, depth+1)
			if err != nil {
				return nil, err
			}
			documents = append(documents, found...)
		}
		return documents, nil
	}
	text, err := yaml.Marshal(node)
	if err != nil {
		return nil, err
	}
	// Kubernetes reads YAML by way of JSON; doing the same gives the same types and the same refusal of double keys.
	object := map[string]any{}
	json, err := sigsyaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: object}
	if err := u.UnmarshalJSON(json); err != nil {
		return nil, err
	}
	return []Document{{File: file, Object: u, node: node}}, nil
}
