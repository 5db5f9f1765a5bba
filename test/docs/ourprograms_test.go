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

	"sallyport.dev/sallyport/internal/cli"
)

// plugin takes the arguments as `kubectl sso` does: subcommands, flags and numbers of arguments.
func plugin(s *script, arguments []string, _ string) (string, error) {
	root := cli.NewCommand(nil)
	root.InitDefaultCompletionCmd()
	root.Version = "v0.1.0"
	root.InitDefaultVersionFlag()
	command, rest, err := root.Find(arguments)
	if err != nil {
		return "", err
	}
	if err := command.ParseFlags(rest); err != nil {
		return "", err
	}
	given := command.Flags().Args()
	switch {
	case s.mention && len(given) == 0:
		return "", nil
	case command.HasSubCommands() && len(given) > 0 && command.ValidateArgs(make([]string, 9)) == nil: // it leaves what is no subcommand to its run
		return "", fmt.Errorf("unknown command %s", given[0])
	}
	return "", command.ValidateArgs(given)
}

// ours runs a program of ours, which parses its flags and then only says its version.
func ours(name string) checker {
	return func(_ *script, arguments []string, _ string) (string, error) {
		return said(exec.Command(filepath.Join(world.programs, name), append(arguments, "--version")...))
	}
}

// goes checks `go run` of the benchmark and `go test`.
func goes(_ *script, arguments []string, _ string) (string, error) {
	switch {
	case slices.Equal(arguments, []string{"mod", "tidy"}):
		return "", nil
	case len(arguments) > 1 && arguments[0] == "run" && arguments[1] == "./test/bench":
		return said(exec.Command(filepath.Join(world.programs, "bench"), append(slices.Clone(arguments[2:]), "-h")...))
	case len(arguments) > 1 && arguments[0] == "test":
		return "", goTest(arguments[1:])
	}
	return "", errors.New("no test knows this use of go")
}

// goTest finds the packages, and in each that is named alone the tests and benchmarks that are picked.
func goTest(arguments []string) error {
	picked := map[string]string{}
	var folders []string
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; argument {
		case "-run", "-bench":
			i++
			if i == len(arguments) {
				return fmt.Errorf("%s of what?", argument)
			}
			picked[argument] = arguments[i]
		case "-v", "-update":
		case "-keep":
			i++
		default:
			folders = append(folders, argument)
		}
	}
	for _, folder := range folders {
		folder, below := strings.CutSuffix(folder, "/...")
		if info, err := os.Stat(filepath.Join(root, folder)); err != nil || !info.IsDir() {
			return fmt.Errorf("%s is no package", folder)
		}
		for flag, kind := range map[string]string{"-run": "Test", "-bench": "Benchmark"} {
			if pattern := picked[flag]; pattern != "" && pattern != "^$" && !below && !hasTest(folder, kind, pattern) {
				return fmt.Errorf("%s has no %s %s", folder, kind, pattern)
			}
		}
	}
	return nil
}

func hasTest(folder, kind, pattern string) bool {
	files, _ := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, found := range regexp.MustCompile(`(?m)^func (`+kind+`\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			// What is below a slash is a part of a test, and has no name of its own in the source.
			own, _, _ := strings.Cut(pattern, "/")
			if regexp.MustCompile(own).MatchString(found[1]) {
				return true
			}
		}
	}
	return false
}

var (
	goal     = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	variable = regexp.MustCompile(`^([A-Z_]+)=(.*)$`)
)

// makes finds the targets and the variables in the makefiles.
func makes(s *script, arguments []string, _ string) (string, error) {
	files, err := exec.Command("bash", "-c", "cd "+root+" && cat Makefile hack/*.mk hack/*/*.mk hack/*.sh").Output()
	if err != nil {
		return "", err
	}
	targets := map[string]bool{}
	for _, found := range goal.FindAllStringSubmatch(string(files), -1) {
		targets[found[1]] = true
	}
	for _, argument := range arguments {
		if set := variable.FindStringSubmatch(argument); set != nil {
			if !regexp.MustCompile(`\b` + set[1] + `\b`).Match(files) {
				return "", fmt.Errorf("no target knows the variable %s", set[1])
			}
			if set[1] == "BENCH" {
				if _, err := goes(s, append([]string{"run", "./test/bench"}, strings.Fields(set[2])...), ""); err != nil {
					return "", err
				}
			}
		} else if !targets[argument] {
			return "", fmt.Errorf("%s is no target", argument)
		}
	}
	return "", nil
}
