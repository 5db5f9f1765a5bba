//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var chartVersion = regexp.MustCompile(`(?m)^version: .*`)

// earlierChart is the folder of the chart as an earlier release had it: of a lower version, with the kinds of v0.1.
func (w *world) earlierChart() string {
	w.t.Helper()
	folder := filepath.Join(w.t.TempDir(), "sallyport")
	about, kinds := filepath.Join(folder, "Chart.yaml"), filepath.Join(folder, "files", "crds")
	w.do(os.CopyFS(folder, os.DirFS(filepath.Join(ground.Root, "charts", "sallyport"))))
	content, err := os.ReadFile(about)
	w.do(err)
	w.do(os.WriteFile(about, chartVersion.ReplaceAll(content, []byte("version: 0.0.1")), 0o600))
	w.do(os.RemoveAll(kinds))
	w.do(os.Mkdir(kinds, 0o700))
	content, err = os.ReadFile(filepath.Join(ground.Root, "test", "upgrade", "testdata", "v0.1", "crds.yaml"))
	w.do(err)
	for i, kind := range strings.Split(strings.TrimPrefix(string(content), "---\n"), "\n---\n") {
		w.do(os.WriteFile(filepath.Join(kinds, fmt.Sprintf("%d.yaml", i)), []byte(kind), 0o600))
	}
	return folder
}

func (w *world) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
