package gitops

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/test/internal/loopback"
)

const (
	sampleFolder = root + "/docs/examples/gitops"
	// sampleHost is where the sample's identity provider has its metadata.
	sampleHost = "acme.okta.com"
)

// runOperator runs the operator, for which the sample's identity provider is a server on this machine, behind a proxy.
func runOperator(t *testing.T) {
	t.Helper()
	home := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sallyport-system"}}
	if err := machine.Client.Create(t.Context(), home); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	idp, err := samltest.NewIdP("https://"+sampleHost+"/metadata", "https://"+sampleHost+"/sso", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(idp.Metadata()) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificateOf(t, sampleHost)}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(tunnelTo(server.Listener.Addr().String()))
	t.Cleanup(proxy.Close)
	machine.Start(t, "operator", []string{"HTTPS_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + authority}, "--leader-elect", "--namespace", home.Name,
		"--service-provider-image", "none", "--metrics-listen", "0", "--health-listen", "0")
}

// runServiceProvider runs the sample's service provider, with the pod that stands for it, as soon as the operator has a snapshot for it.
func runServiceProvider(t *testing.T) {
	t.Helper()
	dir := machine.Mount(t, "sso", "main")
	machine.Start(t, "serviceprovider", nil, "--snapshot-dir", dir, "--store", "sqlite://"+t.TempDir()+"/store.db", "--listen", loopback.Free(t),
		"--management-listen", machine.PodIP+":8081", "--management-token-file", dir+"/token").AwaitReady(machine.PodIP + ":8081")
	machine.Pod(t, "sso", "main")
}

// collect does the garbage collector's part at the end of the test: what the operator has made for the sample goes.
func collect(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		kubectl(t, "-n", "sso", "delete", "deployments,statefulsets,services,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,ingresses,pdb", "--all", "--wait=false")
	})
}

// certificateOf is a self-signed certificate for the host.
func certificateOf(t *testing.T, host string) tls.Certificate {
	t.Helper()
	idp, err := samltest.NewIdP("", "", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, idp.Key.Public(), idp.Key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: idp.Key}
}

// tunnelTo is a proxy that knows one server.
func tunnelTo(address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", address)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
	})
}
