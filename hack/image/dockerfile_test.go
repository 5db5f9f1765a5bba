package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// instructions are those of the Dockerfile, with continued lines joined.
func instructions(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			name, rest, _ := strings.Cut(line, " ")
			all = append(all, []string{name, rest})
		}
	}
	return all
}

// TestTheDockerfileBuildsThePrograms does what its build stage says, without an engine: the files that it copies and no others, and its command as it
// is written. The programs must say the version that they were given.
func TestTheDockerfileBuildsThePrograms(t *testing.T) {
	src, out := t.TempDir(), t.TempDir()
	built := false
	for _, i := range instructions(t) {
		switch {
		case i[0] == "COPY" && !strings.HasPrefix(i[1], "--from"):
			words := strings.Fields(i[1])
			for _, from := range words[:len(words)-1] {
				to := filepath.Join(src, from)
				if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
					t.Fatal(err)
				}
				if printed, err := exec.Command("cp", "-r", filepath.Join("../..", from), to).CombinedOutput(); err != nil {
					t.Fatalf("COPY %s: %v\n%s", from, err, printed)
				}
			}
		case i[0] == "RUN" && strings.Contains(i[1], "go build"):
			command := exec.Command("sh", "-c", strings.ReplaceAll(i[1], "/out/", out+"/"))
			command.Dir = src
			command.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION=v1.2.3", "COMMIT=0123abc")
			if printed, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			built = true
		}
	}
	if !built {
		t.Fatal("the Dockerfile builds nothing")
	}
	for _, name := range programs {
		if said, err := exec.Command(filepath.Join(out, name), "--version").CombinedOutput(); err != nil || !strings.Contains(string(said), "v1.2.3 (0123abc)") {
			t.Errorf("%s --version: %v\n%s", name, err, said)
		}
	}
}

// TestTheDockerfilesImageIsSmallAndHarmless holds what a scanner would complain about.
func TestTheDockerfilesImageIsSmallAndHarmless(t *testing.T) {
	var last []string // the instructions of the last stage
	stages := 0
	for _, i := range instructions(t) {
		if i[0] == "FROM" {
			stages++
			last = nil
			if !strings.Contains(i[1], ":") || strings.HasSuffix(i[1], ":latest") {
				t.Errorf("FROM %s: no version", i[1])
			}
			if stages == 1 && !strings.Contains(i[1], "--platform=$BUILDPLATFORM") {
				t.Error("the programs are compiled in emulation when the image is for another architecture")
			}
		}
		last = append(last, strings.Join(i, " "))
	}
	text := strings.Join(last, "\n")
	if stages != 2 || !strings.HasPrefix(text, "FROM gcr.io/distroless/static") || regexp.MustCompile(`(?m)^(RUN|ADD) `).MatchString(text) {
		t.Errorf("the last of %d stages is\n%s", stages, text)
	}
	if !regexp.MustCompile(`(?m)^USER [1-9]\d*:[1-9]\d*$`).MatchString(text) {
		t.Errorf("runAsNonRoot needs a number: \n%s", text)
	}
}
