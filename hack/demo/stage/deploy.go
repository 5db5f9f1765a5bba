package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DeployOperator installs config/default with the image, and lets metadata be fetched from private networks: in a local cluster there are no others.
func (s *Stage) DeployOperator(ctx context.Context, image string) error {
	overlay := filepath.Join(s.Work, "operator")
	if err := os.MkdirAll(overlay, 0o755); err != nil {
		return err
	}
	base, err := filepath.Rel(overlay, filepath.Join(s.Root, "config", "default"))
	if err != nil {
		return err
	}
	kustomization := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%s]
patches:
- target: {kind: Deployment, name: sallyport-operator}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: sallyport-operator, namespace: sallyport-system}
    spec:
      template:
        spec:
          containers:
          - name: operator
            image: %[2]s
            args: [--leader-elect, --allow-private-metadata]
            env: [{name: SERVICE_PROVIDER_IMAGE, value: %[2]q}]
`, base, image)
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(kustomization), 0o644); err != nil {
		return err
	}
	if _, err := s.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", overlay); err != nil {
		return err
	}
	_, err = s.Kubectl(ctx, "rollout", "status", "-n", "sallyport-system", "deployment/sallyport-operator", "--timeout=180s")
	return err
}

// ApplyKustomization applies a folder of the checkout.
func (s *Stage) ApplyKustomization(ctx context.Context, folder string) error {
	_, err := s.Kubectl(ctx, "apply", "--server-side", "-k", filepath.Join(s.Root, folder))
	return err
}

// WaitReady waits until every object of ours in the namespace is Ready. Its error says what they lack.
func (s *Stage) WaitReady(ctx context.Context, namespace string) error {
	for _, kind := range []string{"serviceproviders", "identityproviders", "attributemappings", "domainbindings"} {
		if _, err := s.Kubectl(ctx, "wait", "-n", namespace, kind, "--all", "--for=condition=Ready", "--timeout=180s"); err != nil {
			state, _ := s.Kubectl(ctx, "get", "sso,pods", "-n", namespace)
			why, _ := s.Kubectl(ctx, "get", "sso", "-n", namespace, "-o", `jsonpath={range .items[*]}{.kind} {.metadata.name}: {range .status.conditions[?(@.status!="True")]}{.type} {.reason}: {.message}; {end}{"\n"}{end}`)
			return fmt.Errorf("%w\n%s\n%s", err, state, why)
		}
	}
	return nil
}

// EnsureSecret makes a Secret unless it is there: its content must survive a second run.
func (s *Stage) EnsureSecret(ctx context.Context, namespace, name string, create func() (manifest string, err error)) error {
	found, err := s.Kubectl(ctx, "get", "secret", "-n", namespace, name, "--ignore-not-found", "-o", "name")
	if err != nil || strings.TrimSpace(found) != "" {
		return err
	}
	manifest, err := create()
	if err != nil {
		return err
	}
	_, err = s.Apply(ctx, manifest)
	return err
}
