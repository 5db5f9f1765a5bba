package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/internal/offline"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
	"sallyport.dev/sallyport/internal/version"
)

type renderOptions struct {
	output, namespace, serviceProvider string
	allowPrivate, allowLoopback        bool
}

func newRenderCommand() *cobra.Command {
	var o renderOptions
	command := &cobra.Command{
		Use:   "render -o DIR FILE|DIR|- ...",
		Short: "Write what a service provider serves, to run one without Kubernetes",
		Long: `Compile manifests into the files that a service provider reads with --snapshot-dir, as the operator does for its pods.

Metadata by URL is fetched; ConfigMaps and Secrets are taken from the manifests. Every connection gets a key pair, which a later run into the same
directory keeps. The files hold private keys: only their owner may read them. Nothing is written while the manifests have errors.`,
		Example: `  kubectl sso render -o /tmp/snapshot config/samples
  serviceprovider --snapshot-dir /tmp/snapshot --store sqlite:///tmp/sso.db --listen 127.0.0.1:8080 --management-listen 127.0.0.1:8081`,
		Args: atLeastOneManifest,
		RunE: func(command *cobra.Command, args []string) error { return render(command, args, o) },
	}
	flags := command.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "directory to write to; created if missing (required)")
	flags.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of objects that name none")
	flags.StringVar(&o.serviceProvider, "service-provider", "", "name of the ServiceProvider, when there are several")
	flags.BoolVar(&o.allowPrivate, "allow-private-metadata", false, "let metadata be fetched from private networks")
	flags.BoolVar(&o.allowLoopback, "allow-loopback-metadata", false, "let metadata be fetched from this machine, and an IdP's endpoints be http:// on it")
	return command
}

func render(command *cobra.Command, args []string, o renderOptions) error {
	if o.output == "" {
		return errors.New("name the directory to write to: -o DIR")
	}
	documents, problems, err := offline.Load(args, command.InOrStdin())
	if err != nil {
		return err
	}
	previous, err := servedBefore(o.output)
	if err != nil {
		return err
	}
	result, err := offline.Check(command.Context(), documents, offline.Options{
		Namespace: o.namespace,
		Previous:  previous,
		Resolver:  offline.Resolver{Fetch: fetcher(o), MakeKeys: true, AllowHTTPLoopback: o.allowLoopback},
	})
	if err != nil {
		return err
	}
	problems = append(problems, result.Problems...)
	if err := printText(command.ErrOrStderr(), problems, offline.Count(documents)); err != nil {
		return err
	}
	if offline.HasErrors(problems) {
		return errFindings
	}
	name, err := choose(result, o.serviceProvider)
	if err != nil {
		return err
	}
	encoded, err := snapshot.Encode(*result.Outputs[name].Snapshot)
	if err != nil {
		return err
	}
	if err := write(o.output, encoded); err != nil {
		return err
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "revision %s in %s\n", encoded.Revision, o.output)
	return err
}

// servedBefore is the snapshot that is in the directory already: its keys stay.
func servedBefore(dir string) (*snapshot.Snapshot, error) {
	if _, err := os.Stat(filepath.Join(dir, snapshot.IndexFile)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	s, _, err := snapshot.Read(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("%s has a snapshot that cannot be read (%w): empty the directory, or name another", dir, err)
	}
	return &s, nil
}

func fetcher(o renderOptions) func(context.Context, string, []byte, trust.ParseOptions) (*trust.Metadata, error) {
	f := trust.NewFetcher(trust.FetcherOptions{AllowPrivate: o.allowPrivate, AllowLoopback: o.allowLoopback, UserAgent: "kubectl-sso/" + version.Version})
	return func(ctx context.Context, url string, bundle []byte, parse trust.ParseOptions) (*trust.Metadata, error) {
		result, err := f.Fetch(ctx, trust.Request{URL: url, CABundle: bundle, Parse: parse})
		if err != nil {
			return nil, err
		}
		return result.Metadata, nil
	}
}

func choose(result *offline.Result, name string) (types.NamespacedName, error) {
	var found []types.NamespacedName
	var names []string
	for candidate, output := range result.Outputs {
		if output.Snapshot != nil && output.Snapshot.ServiceProvider.UID != "" && (name == "" || candidate.Name == name) {
			found, names = append(found, candidate), append(names, candidate.String())
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name == "":
		return types.NamespacedName{}, errors.New("there is no ServiceProvider in the manifests: a snapshot is of one")
	case len(found) == 0:
		return types.NamespacedName{}, fmt.Errorf("there is no ServiceProvider %q in the manifests", name)
	}
	slices.Sort(names)
	return types.NamespacedName{}, fmt.Errorf("there are %d ServiceProviders (%s): choose one with --service-provider, or give the manifests of one namespace", len(found), strings.Join(names, ", "))
}

// write puts the files into the directory, the index last, each at once, and removes shards that are no longer there.
// A service provider that reads the directory meanwhile keeps the old snapshot until the index names what it finds.
func write(dir string, encoded *snapshot.Encoded) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range snapshot.FileNames() {
		content, exists := encoded.Files[name]
		if !exists {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	for _, name := range snapshot.FileNames() {
		if _, exists := encoded.Files[name]; !exists {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func writeFile(path string, content []byte) error {
	// CreateTemp makes the file readable by its owner alone.
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	if _, err := temporary.Write(content); err != nil {
		temporary.Close()
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
