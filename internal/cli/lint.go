package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/offline"
)

func newLintCommand() *cobra.Command {
	var output, namespace string
	command := &cobra.Command{
		Use:   "lint FILE|DIR|- ...",
		Short: "Check manifests as the API server and the operator would, without a cluster",
		Long: `Check manifests without a cluster: the schema and the rules of the CustomResourceDefinitions first, then the operator's own compiler
(conflicts, domains, references, mappings and their examples). Nothing is fetched: metadata by URL is noted and not looked at.

When no ServiceProvider is among the files they are taken for a part of a set, and what they refer to is noted, not blamed.

Exit code: 0 nothing to change, 1 something to change, 2 the command could not do its work.`,
		Example: `  # a directory, as text
  kubectl sso lint ./sso

  # in a GitHub workflow: annotations on the lines that are wrong
  kubectl sso lint -o github ./clusters/prod/sso

  # what kustomize builds
  kustomize build . | kubectl sso lint -`,
		Args: atLeastOneManifest,
		RunE: func(command *cobra.Command, args []string) error {
			print, ok := printers[output]
			if !ok {
				return fmt.Errorf("--output %q: write one of %s", output, strings.Join(printerNames(), ", "))
			}
			documents, problems, err := offline.Load(args, command.InOrStdin())
			if err != nil {
				return err
			}
			result, err := offline.Check(command.Context(), documents, offline.Options{Namespace: namespace})
			if err != nil {
				return err
			}
			problems = append(problems, result.Problems...)
			if err := print(command.OutOrStdout(), problems, offline.Count(documents)); err != nil {
				return err
			}
			if offline.HasErrors(problems) {
				return errFindings
			}
			return nil
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "text", "output format: "+strings.Join(printerNames(), ", "))
	command.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of objects that name none")
	return command
}

func atLeastOneManifest(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("name at least one file or directory with manifests, or - for standard input")
	}
	return nil
}
