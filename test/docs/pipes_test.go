package docs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// said is what a program prints; what it says where it fails is the error.
func said(command *exec.Cmd) (string, error) {
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return string(out), fmt.Errorf("%w: %s", err, strings.TrimSpace(problems.String()))
	}
	return string(out), nil
}

// runs is for programs that only read what comes through the pipe, and the files that are named.
func runs(program string) checker {
	return func(s *script, arguments []string, stdin string) (string, error) {
		command := exec.Command(program, arguments...)
		command.Dir, command.Stdin = s.dir, strings.NewReader(stdin)
		return said(command)
	}
}

// searches is grep. Where nothing comes through the pipe, as from logs, nothing has to be found.
func searches(s *script, arguments []string, stdin string) (string, error) {
	out, err := runs("grep")(s, arguments, stdin)
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) && ended.ExitCode() == 1 {
		if stdin == "" {
			return "", nil
		}
		return "", errors.New("grep finds nothing in what comes through the pipe")
	}
	return out, err
}

// goesOn is xargs without flags.
func goesOn(s *script, arguments []string, stdin string) (string, error) {
	words := strings.Fields(stdin)
	if len(arguments) == 0 || len(words) == 0 {
		return "", errors.New("xargs has nothing to do")
	}
	return s.command(append(arguments, words...), "")
}

// redirect does what < and > do with a file, and gives what the command reads.
func (s *script) redirect(redirection *syntax.Redirect, stdin string) (string, error) {
	switch redirection.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		return expand.Document(s.expansion(), redirection.Hdoc)
	case syntax.RdrIn:
		name, err := expand.Literal(s.expansion(), redirection.Word)
		if err != nil {
			return "", err
		}
		content, err := os.ReadFile(filepath.Join(s.dir, name))
		return string(content), err
	case syntax.RdrOut:
		return stdin, nil // the file is written when there is something to write
	}
	return "", fmt.Errorf("no test can read the redirection %s", redirection.Op)
}

// keep writes what a command prints into the file that it is redirected to, for whoever reads it next.
func (s *script) keep(redirections []*syntax.Redirect, out string) (string, error) {
	for _, redirection := range redirections {
		if redirection.Op != syntax.RdrOut {
			continue
		}
		name, err := expand.Literal(s.expansion(), redirection.Word)
		if err != nil {
			return "", err
		}
		return "", os.WriteFile(filepath.Join(s.dir, name), []byte(out), 0o600)
	}
	return out, nil
}
