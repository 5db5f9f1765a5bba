package cli

import (
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// withSinks is a ServiceProvider whose audit sinks are these, one a line. The first is on line 8.
func withSinks(lines ...string) string {
	return "apiVersion: sso.sallyport.dev/v1alpha1\nkind: ServiceProvider\nmetadata: {name: main}\nspec:\n  url: https://sso.example.com\n  audit:\n    sinks:\n    - " +
		strings.Join(lines, "\n    - ") + "\n"
}

const (
	siemSecret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: siem}\nstringData: {key: hunter2}\n"
	webhook    = `{name: siem, webhook: {url: "https://siem.example.com/in", keySecretRef: {name: siem}}}`
	syslog     = `{name: log, syslog: {address: "syslog.example.com:6514"}}`
)

func configMap(name, content string) string {
	return "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {ca.crt: " + content + "}\n"
}

// authority is a certificate as DER.
func authority(t *testing.T) []byte {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return server.Certificate().Raw
}

func TestLintFindsWhatIsWrongWithASink(t *testing.T) {
	const field = ":8: error: spec.audit.sinks[0]"
	for name, c := range map[string]struct{ manifest, want string }{
		"no receiver":             {withSinks(`{name: siem}`), field + ": exactly one of webhook, syslog, otlp"},
		"two receivers":           {withSinks(`{name: siem, syslog: {address: "a:1"}, otlp: {url: "https://otel.example.com/v1/logs"}}`), field + ": exactly one of webhook, syslog, otlp"},
		"no name":                 {withSinks(`{syslog: {address: "a:1"}}`), field + ".name: required"},
		"a name":                  {withSinks(`{name: SIEM, syslog: {address: "a:1"}}`), field + ".name: "},
		"the same name twice":     {withSinks(syslog, syslog), ":9: error: spec.audit.sinks[1]: "},
		"a format":                {withSinks(`{name: siem, format: XLSX, syslog: {address: "a:1"}}`), field + ".format: "},
		"http":                    {withSinks(`{name: siem, webhook: {url: "http://siem.example.com", keySecretRef: {name: siem}}}`), field + ".webhook.url: must be an absolute https:// URL"},
		"a password":              {withSinks(`{name: otel, otlp: {url: "https://alice:hunter2@otel.example.com"}}`), field + ".otlp.url: must not contain a user name or password"},
		"no key":                  {withSinks(`{name: siem, webhook: {url: "https://siem.example.com"}}`), field + ".webhook.keySecretRef: required"},
		"no port":                 {withSinks(`{name: log, syslog: {address: syslog.example.com}}`), field + ".syslog.address: must be a host and a port"},
		"a key that is not there": {withSinks(strings.Replace(webhook, "name: siem}", "name: siem, key: hmac}", 1)) + siemSecret, ":8: error: spec.audit.sinks[siem].webhook.keySecretRef: Secret siem has no key hmac: add it, or name another key."},
		"a token that is not there": {withSinks(`{name: otel, otlp: {url: "https://otel.example.com/v1/logs", tokenSecretRef: {name: siem}}}`) + siemSecret,
			":8: error: spec.audit.sinks[otel].otlp.tokenSecretRef: Secret siem has no key token"},
		"the second sink": {withSinks(webhook, strings.Replace(syslog, "6514\"", "6514\", caBundle: {configMapRef: {name: ca, key: other}}", 1)) + siemSecret + configMap("ca", "x"),
			":9: error: spec.audit.sinks[log].syslog.caBundle: ConfigMap ca has no key other"},
		"two sources of authorities": {withSinks(strings.Replace(syslog, "6514\"", "6514\", caBundle: {configMapRef: {name: ca}, secretRef: {name: ca}}", 1)), field + ".syslog.caBundle: exactly one of configMapRef, secretRef"},
		"no certificate":             {withSinks(strings.Replace(syslog, "6514\"", "6514\", caBundle: {configMapRef: {name: ca}}", 1)) + configMap("ca", "nonsense"), ":8: error: spec.audit.sinks[log].syslog.caBundle: ConfigMap ca, key ca.crt, has no certificate in it"},
		"bare base64, which no sink reads": {withSinks(strings.Replace(syslog, "6514\"", "6514\", caBundle: {configMapRef: {name: ca}}", 1)) + configMap("ca", base64.StdEncoding.EncodeToString(authority(t))),
			":8: error: spec.audit.sinks[log].syslog.caBundle: ConfigMap ca, key ca.crt, has no certificate in it: write the certificates of the authorities as PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			got := sso(t, "", "lint", manifest(t, c.manifest))
			if got.code != exitFindings || !strings.Contains(got.stdout, c.want) || strings.Count(got.stdout, ": error: ") != 1 {
				t.Errorf("exit %d, want %q once in\n%s%s", got.code, c.want, got.stdout, got.stderr)
			}
			if strings.Contains(got.stdout+got.stderr, "hunter2") {
				t.Errorf("a secret is printed:\n%s", got.stdout)
			}
		})
	}
}

func TestLintPassesGoodSinks(t *testing.T) {
	otlp := `{name: otel, format: OCSF, otlp: {url: "https://otel.example.com:4318/v1/logs", caBundle: {configMapRef: {name: ca}}}}`
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority(t)}))
	ca := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata:\n  ca.crt: |\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
	got := sso(t, "", "lint", manifest(t, withSinks(webhook, syslog, otlp)+siemSecret+ca))
	if got.code != exitClean || got.stdout != "1 objects: nothing to change\n" {
		t.Errorf("%+v", got)
	}
	// A Secret that is kept elsewhere is no mistake.
	got = sso(t, "", "lint", manifest(t, withSinks(syslog, webhook)))
	if want := ":9: note: spec.audit.sinks[siem].webhook.keySecretRef: Secret siem is not among the files: not checked"; got.code != exitClean || !strings.Contains(got.stdout, want) {
		t.Errorf("exit %d, want %q in\n%s", got.code, want, got.stdout)
	}
}

func TestLintLooksForTheConnectionOfTheDatabase(t *testing.T) {
	sp := "apiVersion: sso.sallyport.dev/v1alpha1\nkind: ServiceProvider\nmetadata: {name: main}\nspec:\n  url: https://sso.example.com\n  store:\n    postgres:\n      connectionSecretRef: {name: siem}\n"
	const field = "spec.store.postgres.connectionSecretRef: "
	for _, c := range []struct {
		manifest, want string
		code           int
	}{
		{sp, ":8: note: " + field + "Secret siem is not among the files: not checked", exitClean},
		{sp + siemSecret, ":8: error: " + field + "Secret siem has no key uri: add it, or name another key.", exitFindings},
		{sp + strings.Replace(siemSecret, "key:", "uri:", 1), "1 objects: nothing to change", exitClean},
	} {
		if got := sso(t, "", "lint", manifest(t, c.manifest)); got.code != c.code || !strings.Contains(got.stdout, c.want) || strings.Contains(got.stdout, "hunter2") {
			t.Errorf("exit %d, want %q in\n%s%s", got.code, c.want, got.stdout, got.stderr)
		}
	}
}
