package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// pages are the Markdown files of the repository. They are found by reading folders, so that `go test` notices a new one.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || madeHere[entry.Name()]):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, root+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

// madeHere are folders that a build leaves, which are none of the repository's.
var madeHere = map[string]bool{"bin": true, "dist": true, "node_modules": true}

// passage is a fenced block or a piece of code within a sentence.
type passage struct {
	page string
	// line is that of its first line of text, from 1.
	line int
	// language is what the fence says; "" for none, and inSentence where there is no fence.
	language, text string
}

const inSentence = "a sentence"

var (
	opening = regexp.MustCompile("^( *)```(.*)$")
	span    = regexp.MustCompile("`([^`]+)`")
)

// passages are all code of a page. What a list item indents its block by is taken away.
func passages(page, text string) (all []passage) {
	var block *passage
	indent, prose := "", passage{page: page, line: 1}
	for i, line := range strings.Split(text, "\n") {
		fence := opening.FindStringSubmatch(line)
		switch {
		case fence != nil && block == nil:
			all = append(all, prose.spans()...)
			indent, block = fence[1], &passage{page: page, line: i + 2, language: fence[2]}
		case fence != nil:
			all, block = append(all, *block), nil
			prose = passage{page: page, line: i + 2}
		case block != nil:
			block.text += strings.TrimPrefix(line, indent) + "\n"
		default:
			prose.text += line + "\n"
		}
	}
	return append(all, prose.spans()...)
}

// spans are the pieces of code between blocks. One may begin on one line and end on the next.
func (p passage) spans() (all []passage) {
	for _, found := range span.FindAllStringSubmatchIndex(p.text, -1) {
		code := strings.NewReplacer(`\|`, "|", "\n", " ").Replace(p.text[found[2]:found[3]])
		all = append(all, passage{p.page, p.line + strings.Count(p.text[:found[0]], "\n"), inSentence, code})
	}
	return all
}

// written are the passages of all pages in these languages.
func written(t *testing.T, languages ...string) (all []passage) {
	t.Helper()
	for page, text := range pages(t) {
		for _, p := range passages(page, text) {
			for _, language := range languages {
				if p.language == language {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// TestEveryBlockSaysWhatItIs: what is in a block whose language no test knows, nobody would look at.
func TestEveryBlockSaysWhatItIs(t *testing.T) {
	elsewhere := map[string]bool{
		"":     true, // drawings, folders and output; a line after "$ " is a command
		"json": true, "yaml": true, "sh": true, inSentence: true,
		"nginx": true, "caddyfile": true, "haproxy": true, "lua": true, // test/proxies
		"powershell": true, // of the guide to AD FS
	}
	for page, text := range pages(t) {
		for _, p := range passages(page, text) {
			if !elsewhere[p.language] {
				t.Errorf("%s:%d: no test reads a block of %q: write sh or yaml, or add a test", p.page, p.line, p.language)
			}
		}
	}
}
