//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	operatorNamespace = "sallyport-system"
	// kinds is how many CustomResourceDefinitions the chart brings.
	kinds = 4
)

// helm runs the real Helm, of its module, on the cluster.
func helm(ctx context.Context, arguments ...string) (string, error) {
	return ground.Run(ctx, filepath.Join(ground.Work, "helm"), arguments...)
}

// chart are the arguments of `helm install` and `helm upgrade` with the product's image and further values.
func chart(values ...string) []string {
	return chartIn(filepath.Join(ground.Root, "charts", "sallyport"), values...)
}

func chartIn(folder string, values ...string) []string {
	repository, tag, _ := strings.Cut(images.product, ":")
	arguments := []string{"sallyport", folder, "-n", operatorNamespace, "--wait", "--timeout", "3m",
		// In a local cluster there are no other networks than private ones.
		"--set", "image.repository=" + repository + ",image.tag=" + tag + ",operator.allowPrivateMetadata=true"}
	for _, value := range values {
		arguments = append(arguments, "--set", value)
	}
	return arguments
}

// installChart puts the operator under Helm. `make demo` has installed it from the manifests: this is the move of docs/guides/install.md from one to
// the other.
func installChart(ctx context.Context) error {
	if _, err := ground.Run(ctx, "go", "build", "-C", filepath.Join("hack", "tools", "helm"), "-o", filepath.Join(ground.Work, "helm"), "helm.sh/helm/v4/cmd/helm"); err != nil {
		return err
	}
	if _, err := ground.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(ground.Root, "config", "manager", "namespace.yaml")); err != nil {
		return err
	}
	// Nobody else may own a field of what the release will change.
	for _, arguments := range [][]string{{"-k", filepath.Join(ground.Root, "config", "admission")}, {"-k", filepath.Join(ground.Root, "config", "rbac")},
		{"deployment,networkpolicy", "sallyport-operator", "-n", operatorNamespace}} {
		if _, err := ground.Kubectl(ctx, append([]string{"delete", "--ignore-not-found"}, arguments...)...); err != nil {
			return err
		}
	}
	_, err := helm(ctx, append([]string{"install", "--take-ownership", "--force-conflicts"}, chart()...)...)
	return err
}

// survivesHelm uninstalls the release, installs an earlier one, upgrades it and tries to go back, while applications ask and people sign in. Not one of them may notice.
func (w *world) survivesHelm(t *testing.T, cookies http.Header) {
	t.Helper()
	w.under(t, cookies, w.byForms, func(people *signingIn) {
		w.isUninstalled()
		people.pass(t, 3)
		w.isAdopted()
		people.pass(t, 3)
		w.isUpgraded()
		people.pass(t, 3)
		w.isNotRolledBack()
		people.pass(t, 3)
	})
}

func (w *world) mustHelm(arguments ...string) {
	w.t.Helper()
	if out, err := helm(w.t.Context(), arguments...); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}

// deleteIdP asks for the deletion of the identity provider, does not mean it, and returns all that kubectl says.
func (w *world) deleteIdP() string {
	w.t.Helper()
	out, _ := kubectl(w.t, "-n", w.Namespace, "delete", "idp", "acme", "--dry-run=server") // refused or not: the text says it
	return out
}

func (w *world) isUpgraded() {
	w.t.Helper()
	if level := w.must("get", "namespace", operatorNamespace, "-o", `jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}`); level != "restricted" {
		w.t.Errorf("the operator's namespace takes pods that are %q", level)
	}
	if said := w.deleteIdP(); !strings.Contains(said, "Forbidden") || !strings.Contains(said, "delete or rebind") {
		w.t.Errorf("kubectl delete idp before the upgrade: %s", said)
	}
	w.mustHelm(append([]string{"upgrade"}, chart("operator.replicas=2", "operator.logLevel=debug", "admission.identityProviderInUse=Warn")...)...)
	if ready := w.must("get", "deployment", "sallyport-operator", "-n", operatorNamespace, "-o", "jsonpath={.status.readyReplicas}/{.status.updatedReplicas}/{.status.replicas}"); ready != "2/2/2" {
		w.t.Errorf("after the upgrade to two replicas %s are there", ready)
	}
	w.must("get", "poddisruptionbudget", "sallyport-operator", "-n", operatorNamespace)
	w.eventually("the deletion to pass with a warning", 2*time.Minute, func() error {
		if said := w.deleteIdP(); !strings.Contains(said, "Warning:") || !strings.Contains(said, "delete or rebind") || strings.Contains(said, "Forbidden") {
			return fmt.Errorf("kubectl delete idp says: %s", said)
		}
		return nil
	})
	if now := w.schema(); now == "1" {
		w.t.Error("the upgrade has left the kinds as they were")
	}
	w.eventually("the ServiceProvider to be Ready, with what the kinds have more", 2*time.Minute, func() error {
		if w.auditKey() == "" {
			return errors.New("there is no audit key in status")
		}
		_, err := ground.Kubectl(w.t.Context(), "-n", w.Namespace, "wait", "sp/main", "--for=condition=Ready", "--timeout=30s")
		return err
	})
	w.becomesReadyAfterAChange("Acme after the upgrade")
	if logs := w.must("logs", "-n", operatorNamespace, "-l", "app.kubernetes.io/component=operator", "--tail=-1"); !strings.Contains(logs, `"level":"DEBUG`) {
		w.t.Error("the operator writes no debug lines")
	}
}

// isUninstalled takes the release away: the kinds, the objects and the service providers are kept.
func (w *world) isUninstalled() {
	w.t.Helper()
	before := w.must("get", "sso", "-o", "name")
	w.mustHelm("uninstall", "sallyport", "-n", operatorNamespace, "--wait", "--timeout", "2m")
	if left := w.must("get", "deployments,services,networkpolicies,serviceaccounts,poddisruptionbudgets", "-n", operatorNamespace, "-l", "app.kubernetes.io/instance=sallyport", "-o", "name"); left != "" {
		w.t.Errorf("the release has left %s", left)
	}
	if left := w.must("get", "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingadmissionpolicies,mutatingadmissionpolicybindings", "-l", "app.kubernetes.io/instance=sallyport", "-o", "name"); left != "" {
		w.t.Errorf("the release has left %s", left)
	}
	if kept := strings.Count(w.must("get", "crds", "-o", "name"), ".sso.sallyport.dev"); kept != kinds {
		w.t.Errorf("%d of %d kinds are left", kept, kinds)
	}
	if after := w.must("get", "sso", "-o", "name"); after != before || !strings.Contains(after, "acme") {
		w.t.Errorf("of the objects\n%s there are\n%s", before, after)
	}
}

// isAdopted installs an earlier release: it takes what the first one has kept, and the operator, which is newer than the kinds, goes on where it was. kubectl has installed the
// kinds once, so that whoever changes them has to say --force-conflicts.
func (w *world) isAdopted() {
	w.t.Helper()
	w.mustHelm(append([]string{"install", "--force-conflicts"}, chartIn(w.earlierChart())...)...)
	if now := w.schema(); now != "1" {
		w.t.Errorf("the earlier release has brought kinds of schema %s", now)
	}
	w.becomesReadyAfterAChange("Acme after Helm")
	w.eventually("the operator to ask for its kinds", 2*time.Minute, func() error {
		if said := w.kubectl("describe", "sp", "main"); !strings.Contains(said, "KindsOutdated") || !strings.Contains(said, "of the operator's release") {
			return fmt.Errorf("kubectl describe sp says: %s", said)
		}
		return nil
	})
	if said := w.deleteIdP(); !strings.Contains(said, "Forbidden") {
		w.t.Errorf("the policy is not back: %s", said)
	}
	w.grantsWhatTheRolesSay()
}

// isNotRolledBack tries to go back to the earlier release: its kinds are refused, and with the later release everything is as it was.
func (w *world) isNotRolledBack() {
	w.t.Helper()
	before := w.schema()
	if out, err := helm(w.t.Context(), "rollback", "sallyport", "1", "-n", operatorNamespace, "--wait", "--timeout", "2m"); err == nil || !strings.Contains(err.Error(), "an older schema drops fields that objects have") {
		w.t.Errorf("helm rollback: %v\n%s", err, out)
	}
	if now := w.schema(); now != before {
		w.t.Errorf("the kinds had schema %s and have %s", before, now)
	}
	w.mustHelm(append([]string{"upgrade"}, chart()...)...)
	w.becomesReadyAfterAChange("Acme after the way back")
	if said := w.deleteIdP(); !strings.Contains(said, "Forbidden") {
		w.t.Errorf("the policy is not back: %s", said)
	}
}

// schema is the number of the kinds in the cluster.
func (w *world) schema() string {
	w.t.Helper()
	return w.must("get", "crd", "serviceproviders.sso.sallyport.dev", "-o", `jsonpath={.metadata.annotations.sso\.sallyport\.dev/schema}`)
}

// grantsWhatTheRolesSay asks the API server what holders of the cluster's own roles may do with our kinds.
func (w *world) grantsWhatTheRolesSay() {
	w.t.Helper()
	for user, role := range map[string]string{"alice": "admin", "bob": "edit", "carol": "view"} {
		w.must("create", "rolebinding", user, "--clusterrole="+role, "--user="+user)
	}
	can := func(user, verb string) string {
		answer, _, _ := strings.Cut(w.kubectl("auth", "can-i", verb, "identityproviders.sso.sallyport.dev", "--as="+user), "\n")
		return answer
	}
	w.eventually("the roles to be aggregated", 2*time.Minute, func() error {
		for user, want := range map[string][2]string{"alice": {"yes", "yes"}, "bob": {"yes", "no"}, "carol": {"yes", "no"}, "mallory": {"no", "no"}} {
			if got := [2]string{can(user, "list"), can(user, "create")}; got != want {
				return fmt.Errorf("%s may list: %s, create: %s; want %v", user, got[0], got[1], want)
			}
		}
		return nil
	})
}
