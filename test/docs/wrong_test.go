package docs

import (
	"strings"
	"testing"
)

// TestWhatIsWrongIsFound holds the checks to what they are for: each of these lines and blocks has once stood in a page, or could.
func TestWhatIsWrongIsFound(t *testing.T) {
	for line, why := range map[string]string{
		"frobnicate the cluster": "no test knows the program frobnicate",
		"kubectl frobnicate idp": "no test knows `kubectl frobnicate`",
		"kubectl wait --for=condition=Ready sp/main idp --all -n sso":              "",
		"kubectl wait --for=condition=Served sp/main -n sso --timeout=9s":          "timed out",
		"kubectl get providers -n sso":                                             `doesn't have a resource type "providers"`,
		"kubectl get idp entry -n sso":                                             `"entry" not found`,
		"kubectl get idp okta -n sso -o jsonpath='{.status.trustPage}'":            "trustPage",
		"kubectl get pods -n sso -l app=main":                                      "it finds nothing",
		"kubectl logs -n sso -l app.kubernetes.io/instance=main --tails=5":         "unknown flag: --tails",
		"kubectl logs -n sso deployment/main":                                      "not found",
		"kubectl port-forward -n sso svc/main-sallyport 8080:8443":                 "8443",
		"kubectl run --image=busybox --pure dns -- nslookup HOST":                  "unknown flag: --pure",
		"kubectl run --image=busybox dns -- lookup HOST":                           "no test knows the program lookup",
		"kubectl patch sp main -n sso --type=merge -p '{\"spec\":{\"proxy\":{}}}'": "unknown field",
		"kubectl apply -f nothing.yaml":                                            "does not exist",
		"kubectl get secrets -n sso -o name | grep nothing":                        "grep finds nothing",
		"kubectl get sso -n sso | less":                                            "no test knows the program less",
		"kubectl sso statuses":                                                     "unknown command",
		"kubectl sso debug idp/okta --folow":                                       "unknown flag",
		"bin/kubectl-sso render -o":                                                "flag needs an argument",
		"helm install sallyport charts/sallyport --set imag.tag=v1":                "imag",
		"helm install sallyport charts/sallyport --waits":                          "unknown flag",
		"helm upgrade sallyport charts/sally":                                      "not found",
		"helm rollback sallyport --to 3":                                           "unknown flag",
		"helm frobnicate sallyport":                                                `unknown command "frobnicate"`,
		"make frobnicate":                                                          "is no target",
		"make bench BENCH='-only auths'":                                           `there is no suite "auths"`,
		"make image VERSIONS=1":                                                    "no target knows the variable",
		"go run ./test/bench -only auths":                                          `there is no suite "auths"`,
		"go run ./test/bench -duraton 2s":                                          "not defined",
		"go test ./test/upgrades":                                                  "is no package",
		"go test -run TestNothingAtAll ./test/replicas":                            "has no Test",
		"serviceprovider --snapshot /tmp":                                          "not defined",
		"(cd config/crd && kustomize edit set image sallyport.dev/sallyport=registry.example.com/sallyport:dev)": "0 of the two images",
		"curl -i https://HOSTNAME/":     "HOSTNAME tells nobody what to write",
		"kubectl get sso -n $NAMESPACE": "NAMESPACE",
		"kubectl get 'sso":              "without closing quote",
	} {
		said := ""
		s := script{dir: world.dir, found: func(_ int, _ string, err error) {
			if err != nil {
				said += err.Error() + "\n"
			}
		}}
		if s.check(line, 1); said == "" || !strings.Contains(said, why) {
			t.Errorf("%s: found is %q", line, said)
		}
	}
	for block, why := range map[string]string{
		"spec: {access: {rules: [{host: [a.example.com]}]}}":                  "there is no such field",
		"saml: {keys: {overlapp: 1h}}":                                        "there is no such field",
		"saml: {keys: {overlap: 1 hour}}":                                     "overlap",
		"operator: {environment: []}":                                         "environment",
		"nothing: {of: ours}":                                                 "there is no such field",
		"- {alert: Broken, expr: rate(}":                                      "promtool",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, date: {}}":    "date",
		"{apiVersion: example.com/v1, kind: Thing, metadata: {name: x}}":      "Thing",
		"{name: x, on: push, jobs: {a: {steps: [{run: kubectl sso lints}]}}}": "unknown command",
		"{apiVersion: sso.sallyport.dev/v1alpha1, kind: DomainBinding, metadata: {name: x}, spec: {domains: a.example}}":                                 "there is no such field",
		"{apiVersion: argoproj.io/v1alpha1, kind: Application, spec: {source: {helm: {valuesObject: {imag: {}}}}}}":                                      "imag",
		"{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshot, metadata: {namespace: sso}, spec: {source: {persistentVolumeClaimName: other}}}": `"other" not found`,
		"patches: [{target: {kind: Deployment, name: operator}, patch: '[]'}]":                                                                           "changes nothing",
		"# /etc/proxy.yaml\na: b": "no test of test/proxies",
		"a: 1\na: 2":              "already defined",
	} {
		if err := (passage{page: "docs/page.md"}).accept(t, block); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: found is %v", block, err)
		}
	}
}
