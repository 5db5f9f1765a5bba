package docs

import (
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/cli"
)

var (
	// inline is a command within a sentence, or one line of a block.
	inline = regexp.MustCompile("`(kubectl sso [^`\n]+)`")
	word   = regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s"']+`)
	// ends is where a command ends for its shell.
	ends = regexp.MustCompile(`\s(#|\||>|&&|2>).*$`)
)

// TestCommandsOfThePluginExist parses every `kubectl sso` of the documentation as the plugin itself would: subcommands, flags and numbers of arguments.
func TestCommandsOfThePluginExist(t *testing.T) {
	parsed := 0
	for name, text := range pages(t) {
		for _, line := range pluginLines(text) {
			parsed++
			if err := parse(line); err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
		}
	}
	if parsed < 50 {
		t.Errorf("only %d commands were found", parsed)
	}
}

func pluginLines(text string) []string {
	var lines []string
	for _, block := range fence.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[2]) {
			if line = strings.TrimPrefix(strings.TrimSpace(line), "$ "); strings.HasPrefix(line, "kubectl sso ") {
				lines = append(lines, line)
			}
		}
	}
	for _, found := range inline.FindAllStringSubmatch(text, -1) {
		lines = append(lines, found[1])
	}
	return lines
}

func parse(line string) error {
	var args []string
	for _, w := range word.FindAllString(ends.ReplaceAllString(line, ""), -1)[2:] {
		args = append(args, strings.Trim(w, `"'`))
	}
	root := cli.NewCommand(nil)
	root.InitDefaultCompletionCmd()
	command, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := command.ParseFlags(rest); err != nil {
		return err
	}
	if given := command.Flags().Args(); len(given) > 0 || command.Runnable() && strings.Contains(line, " -") {
		return command.ValidateArgs(given)
	}
	return nil
}
