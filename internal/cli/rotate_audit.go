package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// rotateAuditKeyCommand has the operator replace the key that signs the audit log, and waits until status says which one it is now.
func (a *app) rotateAuditKeyCommand() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use: "audit-key", Short: "Replace the key that signs the audit log",
		Long: `Replace the key that signs the audit log. The old key introduces the new one and is then gone; the pods are rolled, one after the other.
What the old key has signed stays good, and whoever keeps only its public half verifies what the new one signs, too.`,
		Example: "  kubectl sso rotate audit-key",
		Args:    exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			if timeout < 0 {
				return fmt.Errorf("--timeout %s: write a duration from 0, such as 30s", timeout)
			}
			ctx := command.Context()
			k, err := a.connect()
			if err != nil {
				return err
			}
			sp, err := k.ServiceProvider(ctx, a.serviceProvider)
			if err != nil {
				return err
			}
			before := auditKeyID(sp)
			if err := k.Annotate(ctx, sp, v1alpha1.AnnotationRotateAuditKey, time.Now().UTC().Format(time.RFC3339Nano)); err != nil {
				return err
			}
			if timeout == 0 {
				_, err := fmt.Fprintf(command.OutOrStdout(), "sp/%s: asked\n", sp.Name)
				return err
			}
			p := newProgress(command.ErrOrStderr())
			p.show("replacing the audit key of sp/%s", sp.Name)
			err = wait.PollUntilContextTimeout(ctx, lookEvery, timeout, true, func(context.Context) (bool, error) {
				sp, err = k.ServiceProvider(ctx, sp.Name)
				return err == nil && auditKeyID(sp) != before, err
			})
			p.done()
			if wait.Interrupted(err) && ctx.Err() == nil {
				return fmt.Errorf("sp/%s: asked, but status.auditKey is the same after %s: see `kubectl describe sp`, and whether the operator runs", sp.Name, timeout)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "sp/%s: key %s signs the audit log now: keep `kubectl sso audit proof` elsewhere\n", sp.Name, auditKeyID(sp))
			return err
		},
	}
	a.pickServiceProvider(c)
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the outcome; 0 does not wait")
	return c
}

func auditKeyID(sp *v1alpha1.ServiceProvider) string {
	if sp.Status.AuditKey == nil {
		return ""
	}
	return sp.Status.AuditKey.ID
}
