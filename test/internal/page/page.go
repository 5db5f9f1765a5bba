// Package page takes the files out of a documentation page, so that tests run what readers copy.
package page

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// A file is a fenced block whose first line is a comment with its path: "# /etc/caddy/Caddyfile" or "-- /etc/haproxy/x.lua".
var block = regexp.MustCompile("(?s)```[a-z]+\n(?:#|--) (/[^\n]+)\n(.*?)```")

// Files returns a page's files by path, with every pair of replacements made in all of them. A pair that occurs nowhere fails the test: then the page
// was edited, and the test runs something else than it prints.
func Files(t testing.TB, file string, replacements ...string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, match := range block.FindAllStringSubmatch(string(content), -1) {
		files[match[1]] = match[2]
	}
	if len(files) == 0 {
		t.Fatalf("%s prints no file", file)
	}
	for i := 0; i < len(replacements); i += 2 {
		found := false
		for path, text := range files {
			found = found || strings.Contains(text, replacements[i])
			files[path] = strings.ReplaceAll(text, replacements[i], replacements[i+1])
		}
		if !found {
			t.Fatalf("%s no longer prints %q", file, replacements[i])
		}
	}
	return files
}
