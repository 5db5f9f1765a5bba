package cli

import (
	"strings"
	"testing"
)

func withStoreCA(reference string) string {
	return "apiVersion: sso.sallyport.dev/v1alpha1\nkind: ServiceProvider\nmetadata: {name: main}\nspec:\n  url: https://sso.example.com\n  store:\n    postgres:\n" +
		"      connectionSecretRef: {name: sso-db}\n      caBundle: " + reference + "\n"
}

func TestLintLooksAtTheCABundleOfTheStore(t *testing.T) {
	const at, inMap = ":9: error: spec.store.postgres.caBundle", "{configMapRef: {name: ca}}"
	for name, c := range map[string]struct{ manifest, want string }{
		"two sources":    {withStoreCA("{configMapRef: {name: ca}, secretRef: {name: ca}}"), at + ": exactly one of configMapRef, secretRef"},
		"no key":         {withStoreCA("{configMapRef: {name: ca, key: other}}") + configMap("ca", "x"), at + ": ConfigMap ca has no key other: add it, or name another key."},
		"no certificate": {withStoreCA(inMap) + configMap("ca", "nonsense"), at + ": ConfigMap ca, key ca.crt, has no certificate in it"},
		"a key that is no secret any more": {withStoreCA("{secretRef: {name: ca}}") + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: ca}\nstringData:\n  ca.crt: |\n" +
			"    -----BEGIN PRIVATE KEY-----\n    aHVudGVyMg==\n    -----END PRIVATE KEY-----\n", at + ": Secret ca, key ca.crt, has a private key in it"},
	} {
		t.Run(name, func(t *testing.T) {
			got := sso(t, "", "lint", manifest(t, c.manifest))
			if got.code != exitFindings || !strings.Contains(got.stdout, c.want) || strings.Count(got.stdout, ": error: ") != 1 {
				t.Errorf("exit %d, want %q once in\n%s%s", got.code, c.want, got.stdout, got.stderr)
			}
		})
	}
	got := sso(t, "", "lint", manifest(t, withStoreCA(inMap)))
	if want := ":9: note: spec.store.postgres.caBundle: ConfigMap ca is not among the files: not checked"; got.code != exitClean || !strings.Contains(got.stdout, want) {
		t.Errorf("exit %d, want %q in\n%s", got.code, want, got.stdout)
	}
}
