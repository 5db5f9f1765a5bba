package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// rotateAuditKeyCommand has the operator replace the key that signs the audit log, and waits until status says which one it is now.
func (a *app) rotateAuditKeyCommand() *cobra.Command {
	return a.triggerOnServiceProvider(&cobra.Command{
		Use: "audit-key", Short: "Replace the key that signs the audit log",
		Long: `Replace the key that signs the audit log. The old key introduces the new one and is then gone; the pods are rolled, one after the other,
and sign with the new one from then on. With SQLite there is one pod: checks are refused for the seconds in which it starts again.
What the old key has signed stays good, and whoever keeps only its public half verifies what the new one signs, too.`,
		Example: "  kubectl sso rotate audit-key",
	}, annotationTrigger[*v1alpha1.ServiceProvider]{
		annotation: v1alpha1.AnnotationRotateAuditKey, waiting: "replacing the audit key of %s",
		late: "requested, but status.auditKey is still the same after %s: see `kubectl describe %s -n %s`, and check that the operator is running",
		done: func(before, now *v1alpha1.ServiceProvider) bool { return auditKeyID(now) != auditKeyID(before) },
		outcome: func(sp *v1alpha1.ServiceProvider) (string, bool) {
			return fmt.Sprintf("key %s signs the audit log now: keep `kubectl sso audit proof -n %s` elsewhere", auditKeyID(sp), sp.Namespace), true
		},
	})
}

func auditKeyID(sp *v1alpha1.ServiceProvider) string {
	if sp.Status.AuditKey == nil {
		return ""
	}
	return sp.Status.AuditKey.ID
}
