package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// rotateHeaderKeyCommand has the operator make the next key of the signed header, and waits until it is among those that are published.
func (a *app) rotateHeaderKeyCommand() *cobra.Command {
	return a.triggerOnServiceProvider(&cobra.Command{
		Use: "header-key", Aliases: []string{"header-keys"}, Short: "Start rotating the key of the signed identity header",
		Long: `Start rotating the key that signs the identity header (spec.signedHeader). The new key is published first and signs only an hour after every pod is
known to publish it; the previous key stays published for another hour. Applications that keep the published keys for the five minutes that Cache-Control
says notice nothing.`,
		Example: "  kubectl sso rotate header-key",
	}, annotationTrigger[*v1alpha1.ServiceProvider]{
		annotation: v1alpha1.AnnotationRotateKeys, waiting: "creating the next header key of %s",
		begins: func(sp *v1alpha1.ServiceProvider) error {
			if h := sp.Spec.SignedHeader; h == nil || h.State == v1alpha1.StateDisabled {
				return fmt.Errorf("sp/%s signs no header: spec.signedHeader turns it on; see docs/guides/signed-header.md", sp.Name)
			}
			if next := nextHeaderKey(sp); next != "" {
				return fmt.Errorf("sp/%s is rotating already: key %s is published and signs an hour after every pod publishes it; see docs/guides/signed-header.md", sp.Name, next)
			}
			return nil
		},
		late: "requested, but no new key was published within %s: see `kubectl describe %s -n %s`, and check that the operator is running",
		done: func(_, now *v1alpha1.ServiceProvider) bool { return nextHeaderKey(now) != "" },
		outcome: func(sp *v1alpha1.ServiceProvider) (string, bool) {
			return fmt.Sprintf("key %s is published at %s/.well-known/jwks.json. It signs an hour after every pod publishes it, and the previous key stays published for another hour",
				nextHeaderKey(sp), strings.TrimSuffix(sp.Spec.URL, "/")), true
		},
	})
}

func nextHeaderKey(sp *v1alpha1.ServiceProvider) string {
	for _, k := range sp.Status.HeaderKeys {
		if k.Phase == v1alpha1.KeyPhaseNext {
			return k.ID
		}
	}
	return ""
}
