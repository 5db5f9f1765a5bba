package gitops

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/test/internal/apiserver"
	"sallyport.dev/sallyport/test/internal/await"
)

// warnings are what the API server has added to its answers.
type warnings struct {
	mutex sync.Mutex
	text  string
}

// HandleWarningHeader keeps one.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.text += text
}

func (w *warnings) have(text string) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return strings.Contains(w.text, text)
}

// setPolicy installs the admission policies with that setting, as docs/gitops.md says, until the test ends, and waits until they answer about Acme.
func setPolicy(t *testing.T, setting string) {
	t.Helper()
	dir := t.TempDir()
	admission, err := filepath.Abs(filepath.Join(root, "config", "admission"))
	if err == nil {
		admission, err = filepath.Rel(dir, admission)
	}
	if err != nil {
		t.Fatal(err)
	}
	content := "resources: [" + admission + "]\n"
	if setting == "Warn" {
		content += "components: [" + filepath.Join(admission, "warn") + "]\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "--server-side", "-k", dir)
	t.Cleanup(func() { kubectl(t, "delete", "-k", dir) })

	warned := &warnings{}
	config := rest.CopyConfig(machine.Config)
	config.WarningHandler = warned
	trying, err := client.New(config, client.Options{Scheme: machine.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	idp := &v1alpha1.IdentityProvider{}
	idp.Namespace, idp.Name = "sso", "acme"
	await.Until(t, "the policy is in force", func() bool {
		err := trying.Delete(t.Context(), idp, client.DryRunAll)
		if setting == "Warn" {
			return err == nil && warned.have(inUse)
		}
		return err != nil && strings.Contains(err.Error(), inUse)
	})
}

// kubectl runs the real one and returns what it prints.
func kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	command := exec.Command(apiserver.Kubectl(), append([]string{"--kubeconfig", machine.Kubeconfig}, arguments...)...)
	var complaints strings.Builder
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", arguments, err, complaints.String())
	}
	return string(out)
}
