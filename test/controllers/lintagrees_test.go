package controllers

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/offline"
)

// badReferences are objects of which each refers to one thing that is there and cannot be used.
func badReferences(t testing.TB, ns string) []client.Object {
	things := func(key string) v1alpha1.SecretKeyReference {
		return v1alpha1.SecretKeyReference{Name: "things", Key: v1alpha1.DataKey(key)}
	}
	from := func(key string) *v1alpha1.SecretSource { return &v1alpha1.SecretSource{SecretRef: things(key)} }
	listed := func(key string) *v1alpha1.ConfigMapKeyReference {
		return &v1alpha1.ConfigMapKeyReference{Name: "listed", Key: v1alpha1.DataKey(key)}
	}
	manual := v1alpha1.ManualTrust{EntityID: "urn:idp", SSOURL: "https://idp.example.com/sso"}
	manualFrom := func(key string) v1alpha1.MetadataSource {
		m := manual
		m.CertificatesFrom = from(key)
		return v1alpha1.MetadataSource{Manual: &m}
	}
	typed := manual
	typed.Certificates = []string{certificatePEM(t), "no certificate"}
	signed := inline(t)
	signed.SignatureCertificate = from("nonsense")
	notSigned := inline(t)
	notSigned.SignatureCertificate = from("good")
	sources := map[string]v1alpha1.MetadataSource{
		"no-key":        {FromConfigMap: listed("other")},
		"no-value":      {FromConfigMap: listed("empty")},
		"no-metadata":   {FromSecret: &v1alpha1.SecretKeyReference{Name: "things", Key: "nonsense"}},
		"no-xml":        {Inline: "<html/>"},
		"no-signature":  notSigned,
		"no-signer":     signed,
		"no-authority":  {URL: "https://idp.example.com/m", CABundle: &v1alpha1.CABundleSource{ConfigMapRef: listed("ca.crt")}},
		"no-pem":        manualFrom("nonsense"),
		"weak":          manualFrom("weak"),
		"no-typed-pem":  {Manual: &typed},
		"no-half":       inline(t),
		"no-other-half": inline(t),
	}
	pairs := map[string]v1alpha1.ObjectName{"no-half": "half", "no-other-half": "nonsense"}
	var all []client.Object
	for name, source := range sources {
		idp := identityProvider(ns, name, source)
		if pair, ok := pairs[name]; ok {
			idp.Spec.SAML.Keys.SecretRef = &v1alpha1.KeyPairReference{Name: pair}
		}
		all = append(all, idp)
	}
	sp := serviceProvider(ns)
	sp.Spec.Audit.Sinks = []v1alpha1.AuditSink{
		{Name: "siem", Webhook: &v1alpha1.WebhookSink{URL: "https://siem.example.com/in", KeySecretRef: things("key")}},
	}
	// One kind has a second way to be wrong, in an object of its own.
	other := serviceProvider(ns)
	other.Name = "other"
	other.Spec.Audit.Sinks = []v1alpha1.AuditSink{
		{Name: "log", Syslog: &v1alpha1.SyslogSink{Address: "syslog.example.com:6514", CABundle: &v1alpha1.CABundleSource{SecretRef: &v1alpha1.SecretKeyReference{Name: "things", Key: "nonsense"}}}},
	}
	stored := serviceProvider(ns)
	stored.Name = "stored"
	stored.Spec.Store = &v1alpha1.Store{Postgres: &v1alpha1.PostgresStore{ConnectionSecretRef: things("good"), CABundle: &v1alpha1.CABundleSource{ConfigMapRef: listed("ca.crt")}}}
	return append(all, sp, other, stored)
}

// weakPEM is a certificate whose key is too short to be trusted.
func weakPEM(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(der)
}

// lintOf are the errors that `kubectl sso lint` finds in the objects, by their names.
func lintOf(t testing.TB, objects ...client.Object) map[string][]offline.Problem {
	t.Helper()
	var manifest bytes.Buffer
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		manifest.WriteString("---\n")
		manifest.Write(text)
	}
	documents, problems, err := offline.Load([]string{offline.Stdin}, &manifest)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	result, err := offline.Check(t.Context(), documents, offline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]offline.Problem{}
	for _, problem := range result.Problems {
		if problem.Severity == offline.SeverityError {
			found[problem.Name] = append(found[problem.Name], problem)
		}
	}
	return found
}

// TestLintSaysWhatTheOperatorSays: one bad reference gives the same reason and the same words, whether `kubectl sso lint` finds it in files or the operator in the cluster.
func TestLintSaysWhatTheOperatorSays(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	secret := func(name string, data map[string][]byte) client.Object {
		return &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: data}
	}
	nonsense := []byte("nonsense")
	given := []client.Object{
		&corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "listed"}, Data: map[string]string{"empty": ""}},
		secret("things", map[string][]byte{"nonsense": nonsense, "good": []byte(certificatePEM(t)), "weak": []byte(weakPEM(t))}),
		secret("half", map[string][]byte{"tls.crt": nonsense}),
		secret("nonsense", map[string][]byte{"tls.crt": nonsense, "tls.key": nonsense}),
	}
	bad := badReferences(t, ns)
	for _, object := range bad {
		kind := v1alpha1.KindIdentityProvider
		if _, ok := object.(*v1alpha1.ServiceProvider); ok {
			kind = v1alpha1.KindServiceProvider
		}
		object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.GroupName, Version: v1alpha1.GroupVersion.Version, Kind: kind})
	}
	offlineSays := lintOf(t, slices.Concat(given, bad)...)
	create(t, given...)
	create(t, bad...)
	for _, object := range bad {
		found := offlineSays[object.GetName()]
		if len(found) != 1 {
			t.Errorf("lint finds %d problems in %s, want one: %+v", len(found), object.GetName(), found)
			continue
		}
		awaitProblem(t, object.GetName(), badEdit{object: object, reason: found[0].Reason, says: []string{found[0].Text()}})
	}
}
