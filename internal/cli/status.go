package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli/cluster"
)

// soon is how long before a certificate ends it needs attention.
const soon = 30 * 24 * time.Hour

// estate is everything of ours in one namespace.
type estate struct {
	Namespace         string                      `json:"namespace"`
	Attention         []concern                   `json:"attention"`
	ServiceProviders  []v1alpha1.ServiceProvider  `json:"serviceProviders"`
	IdentityProviders []v1alpha1.IdentityProvider `json:"identityProviders"`
	DomainBindings    []v1alpha1.DomainBinding    `json:"domainBindings"`
	AttributeMappings []v1alpha1.AttributeMapping `json:"attributeMappings"`
	Pods              map[string][]podState       `json:"pods"`
}

// podState is what is told of a pod. Its name is all that most people need.
type podState struct {
	Name     string `json:"name"`
	Ready    bool   `json:"ready"`
	State    string `json:"state"`
	Restarts int32  `json:"restarts,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	var output string
	var all bool
	c := &cobra.Command{
		Use: "status", Short: "Show everything in a namespace as a tree, what needs attention first",
		Long: `Show the ServiceProviders of a namespace with their pods, the revision that these serve, identity providers, certificates and domains.
What needs attention comes first: conditions that are not as they should be, with what the operator says to do, and certificates that expire within 30 days.

Only Kubernetes is asked; permission to view is enough. Exit code 1: something needs attention.`,
		Example: "  kubectl sso status -n sso\n  kubectl sso status -A\n  kubectl sso status -o json",
		Args:    exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "tree", "json"); err != nil {
				return err
			}
			k, err := a.connect()
			if err != nil {
				return err
			}
			namespaces := []string{k.Namespace}
			if all {
				if namespaces, err = k.Namespaces(command.Context()); err != nil {
					return err
				}
			}
			return showStatus(command, k, namespaces, all, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "tree", "tree or json")
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "every namespace that has a ServiceProvider")
	return c
}

func showStatus(command *cobra.Command, k *cluster.Cluster, namespaces []string, all bool, output string) error {
	out := command.OutOrStdout()
	var estates []*estate
	concerns := 0
	for _, namespace := range namespaces {
		k.Namespace = namespace
		e, err := survey(command.Context(), k)
		if err != nil {
			return err
		}
		e.Attention = attention(e, time.Now())
		concerns += len(e.Attention)
		estates = append(estates, e)
	}
	if output == "json" {
		if err := printIndented(out, map[string]any{"namespaces": estates}); err != nil {
			return err
		}
	} else {
		printEstates(out, estates, all)
	}
	if concerns > 0 {
		return errFindings
	}
	return nil
}

func survey(ctx context.Context, k *cluster.Cluster) (*estate, error) {
	e := &estate{Namespace: k.Namespace, Pods: map[string][]podState{}}
	var sps v1alpha1.ServiceProviderList
	var idps v1alpha1.IdentityProviderList
	var bindings v1alpha1.DomainBindingList
	var mappings v1alpha1.AttributeMappingList
	for _, err := range []error{
		k.List(ctx, "serviceproviders", &sps), k.List(ctx, "identityproviders", &idps), k.List(ctx, "domainbindings", &bindings), k.List(ctx, "attributemappings", &mappings),
	} {
		if err != nil {
			return nil, err
		}
	}
	e.ServiceProviders, e.IdentityProviders, e.DomainBindings, e.AttributeMappings = sps.Items, idps.Items, bindings.Items, mappings.Items
	e.trim()
	if len(e.ServiceProviders) == 0 && len(e.IdentityProviders) == 0 {
		return nil, fmt.Errorf("there is no ServiceProvider in namespace %s: name another with -n, or look at all with -A", k.Namespace)
	}
	for i := range e.ServiceProviders {
		pods, err := k.Pods(ctx, &e.ServiceProviders[i])
		if err != nil {
			return nil, err
		}
		for j := range pods {
			e.Pods[e.ServiceProviders[i].Name] = append(e.Pods[e.ServiceProviders[i].Name], stateOf(&pods[j]))
		}
	}
	return e, nil
}

// trim takes away who has written which field: it is longer than everything else, and kubectl does not show it either.
func (e *estate) trim() {
	for i := range e.ServiceProviders {
		e.ServiceProviders[i].ManagedFields = nil
	}
	for i := range e.IdentityProviders {
		e.IdentityProviders[i].ManagedFields = nil
	}
	for i := range e.DomainBindings {
		e.DomainBindings[i].ManagedFields = nil
	}
	for i := range e.AttributeMappings {
		e.AttributeMappings[i].ManagedFields = nil
	}
}

// stateOf says in a few words how a pod is.
func stateOf(pod *corev1.Pod) podState {
	s := podState{Name: pod.Name, State: string(pod.Status.Phase), Ready: cluster.Ready(pod)}
	for _, c := range pod.Status.ContainerStatuses {
		s.Restarts += c.RestartCount
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			s.State = w.Reason
		}
	}
	switch {
	case pod.DeletionTimestamp != nil:
		s.State = "Terminating"
	case s.Ready:
		s.State = "Ready"
	case s.State == string(corev1.PodRunning):
		s.State = "NotReady"
	}
	return s
}

// printEstates writes one namespace after the other. Among all, also one where all is well is named: ServiceProviders are often called the same.
func printEstates(w io.Writer, estates []*estate, all bool) {
	for i, e := range estates {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if len(e.Attention) > 0 {
			fmt.Fprintf(w, "%s in namespace %s:\n", map[bool]string{true: "1 thing needs attention", false: fmt.Sprintf("%d things need attention", len(e.Attention))}[len(e.Attention) == 1], e.Namespace)
			for _, c := range e.Attention {
				fmt.Fprintf(w, "  %s  %s\n    %s\n", c.Object, c.What, clean(c.Message))
			}
			fmt.Fprintln(w)
		} else if all {
			fmt.Fprintf(w, "Nothing needs attention in namespace %s.\n\n", e.Namespace)
		}
		for _, sp := range e.ServiceProviders {
			e.tree(&sp).print(w, "", "")
		}
		if lost := e.lost(); lost != nil {
			lost.print(w, "", "")
		}
	}
}

// lost are identity providers whose ServiceProvider is not there.
func (e *estate) lost() *branch {
	b := &branch{text: "without a ServiceProvider"}
	for i := range e.IdentityProviders {
		idp := &e.IdentityProviders[i]
		if !slices.ContainsFunc(e.ServiceProviders, func(sp v1alpha1.ServiceProvider) bool { return sp.Name == string(idp.Spec.ServiceProviderRef.Name) }) {
			b.add(e.idpBranch(idp))
		}
	}
	if len(b.below) == 0 {
		return nil
	}
	return b
}

// short is the beginning of a digest, as long as the operator shows it in conditions and Events.
func short(digest string) string {
	_, hex, ok := strings.Cut(digest, ":")
	if !ok {
		hex = digest
	}
	return hex[:min(len(hex), 16)]
}
