package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"sallyport.dev/sallyport/test/internal/apiserver"
)

// way is how a subcommand of kubectl is tried.
type way struct {
	// more is added to the arguments.
	more []string
	// only its flags are looked at: it needs a node, a terminal or an editor from the start.
	parsed bool
	// ends are the errors that say nothing against the command: this API server has no node, and no metrics.
	ends []string
}

var (
	reads  = way{}
	writes = way{more: []string{"--dry-run=server"}}
)

// subcommands of kubectl that the documentation may use. All but the last line get as far as an API server that has what the pages speak of.
var subcommands = map[string]way{
	"get": reads, "describe": reads, "explain": reads, "api-resources": reads, "auth": reads, "kustomize": reads,
	"wait":  reads,
	"apply": writes, "patch": writes, "label": writes, "annotate": writes, "scale": writes,
	"create":       {more: writes.more, ends: []string{"already exists"}},
	"delete":       {more: writes.more, ends: []string{"delete or rebind "}}, // what the policy says, and the page that has it
	"rollout":      {ends: []string{"timed out waiting for the condition", "within the past second"}},
	"logs":         {ends: []string{"does not have a host assigned"}},
	"port-forward": {ends: []string{"pod is not running"}},
	"top":          {ends: []string{"Metrics API not available"}},
	"run":          {parsed: true},
}

// incomplete is what kubectl says where a sentence names a command without all that it needs.
var incomplete = []string{"no name was specified", "must specify the type of resource", "must specify one of -f and -k", "resource name or a selector", "requires at least",
	"Required resource not specified", "at least one resource must be specified", "you must specify", "You must provide one or more resources"}

func kubectl(s *script, arguments []string, stdin string) (string, error) {
	if len(arguments) == 0 {
		return "", errors.New("kubectl alone does nothing")
	}
	if arguments[0] == "sso" {
		return plugin(s, arguments[1:], stdin)
	}
	how, known := subcommands[arguments[0]]
	if !known {
		return "", fmt.Errorf("no test knows `kubectl %s`: say in test/docs/kubectl_test.go how it is tried", arguments[0])
	}
	if how.parsed || s.mention && len(arguments) == 1 {
		return "", s.parse(arguments)
	}
	if !slices.ContainsFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "--dry-run") }) {
		arguments = append(slices.Clone(arguments), how.more...)
	}
	out, err := s.once(stdin, soon(arguments))
	switch {
	case err != nil && slices.Contains(arguments, "--for=delete") && tells(err, []string{"timed out waiting"}):
		return "", nil
	case err != nil && (tells(err, how.ends) || s.mention && tells(err, incomplete)):
		return "", nil
	case err == nil && strings.Contains(strings.Join(arguments, " "), "jsonpath="):
		err = s.fieldsExist(arguments, out)
	}
	return out, err
}

// answers are what kubectl has said already: many pages look at the same object.
var answers = map[string]struct {
	out string
	err error
}{}

func (s *script) once(stdin string, arguments []string) (string, error) {
	key := strings.Join(append(slices.Clone(arguments), s.dir, stdin), "\x00")
	answer, known := answers[key]
	if !known {
		answer.out, answer.err = s.kubectl(stdin, arguments...)
		answers[key] = answer
	}
	return answer.out, answer.err
}

// soon has kubectl wait for no longer than it takes to see that everything is there.
func soon(arguments []string) []string {
	short := slices.Clone(arguments)
	for i, argument := range short {
		if strings.HasPrefix(argument, "--timeout=") {
			short[i] = "--timeout=2s"
		}
	}
	return short
}

func tells(err error, any []string) bool {
	return slices.ContainsFunc(any, func(one string) bool { return strings.Contains(err.Error(), one) })
}

// parse has kubectl read the flags, and say what the subcommand is for instead of doing it. What runs in a container is checked by itself.
func (s *script) parse(arguments []string) error {
	own, inside := arguments, []string(nil)
	if i := slices.Index(arguments, "--"); i >= 0 {
		own, inside = arguments[:i], arguments[i+1:]
	}
	if _, err := s.kubectl("", append(slices.Clone(own), "--help")...); err != nil || inside == nil {
		return err
	}
	_, err := s.command(inside, "")
	return err
}

// kubectl runs the real one where the reader is. A selector that selects nothing is an error.
func (s *script) kubectl(stdin string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, apiserver.Kubectl(), arguments...)
	command.Dir, command.Stdin = s.dir, strings.NewReader(stdin)
	command.Env = append(os.Environ(), "KUBECONFIG="+world.kubeconfig, "HOME="+world.dir)
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(problems.String()))
	}
	if strings.Contains(problems.String(), "No resources found") {
		return "", errors.New("it finds nothing here, where the quick start was followed")
	}
	// A merge patch with a field that no kind has is taken, with a warning.
	if strings.Contains(problems.String(), "Warning: unknown field") {
		return "", errors.New(problems.String())
	}
	return string(out), nil
}

var fieldPath = regexp.MustCompile(`\{\.([A-Za-z.]+)`)

// fieldsExist looks up the fields of a JSONPath: a field that no object has prints nothing, and is no error to kubectl. What a Secret holds is no field.
func (s *script) fieldsExist(arguments []string, out string) error {
	for _, path := range fieldPath.FindAllStringSubmatch(strings.Join(arguments, " "), -1) {
		if strings.HasPrefix(path[1], "data.") {
			if out == "" {
				return fmt.Errorf("there is nothing at %s", path[1])
			}
		} else if _, err := s.kubectl("", "explain", arguments[1]+"."+path[1]); err != nil {
			return err
		}
	}
	return nil
}

// kustomize builds, and tries what `kustomize edit set image` writes.
func kustomize(s *script, arguments []string, _ string) (string, error) {
	switch {
	case len(arguments) == 2 && arguments[0] == "build":
		return s.kubectl("", "kustomize", arguments[1])
	case len(arguments) == 4 && strings.Join(arguments[:3], " ") == "edit set image":
		return "", s.setImage(arguments[3])
	}
	return "", errors.New("no test knows this use of kustomize")
}
