package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"text/template"
	"time"
)

// A cluster lives for days at most; its certificates live for a month.
const certificateLife = 30 * 24 * time.Hour

// leaf is one certificate that the cluster needs.
type leaf struct {
	name   string // file name below pki, and kubeconfig name
	ca     string // who signs
	cn     string
	groups []string
	hosts  []string // names and addresses; empty for a client certificate
}

// leaves lists the certificates. The API server is reached by its Service too, so the
// certificate carries the Service's address and names.
func leaves(n network) []leaf {
	return []leaf{
		{name: "kube-apiserver", ca: "ca", cn: "kube-apiserver", hosts: []string{n.address, n.serviceIP, "127.0.0.1", "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain}},
		{name: "kubelet-server", ca: "ca", cn: nodeName, hosts: []string{n.address, nodeName}},
		{name: "kube-apiserver-client", ca: "ca", cn: "kube-apiserver", groups: []string{"system:masters"}},
		{name: "admin", ca: "ca", cn: "admin", groups: []string{"system:masters"}},
		{name: "kube-controller-manager", ca: "ca", cn: "system:kube-controller-manager"},
		{name: "kube-scheduler", ca: "ca", cn: "system:kube-scheduler"},
		{name: "kube-proxy", ca: "ca", cn: "system:kube-proxy"},
		{name: "kubelet", ca: "ca", cn: "system:node:" + nodeName, groups: []string{"system:nodes"}},
		{name: "etcd", ca: "etcd-ca", cn: "etcd", hosts: []string{"127.0.0.1"}},
		{name: "etcd-client", ca: "etcd-ca", cn: "kube-apiserver"},
	}
}

// writePKI makes the keys of one cluster, unless they are there. etcd has an authority of its own:
// no client of the API server may read the database.
func writePKI(d dirs, n network) error {
	done := d.in("pki", "complete")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.MkdirAll(d.in("pki"), 0o700); err != nil {
		return err
	}
	authorities := map[string]*authority{}
	for _, name := range []string{"ca", "etcd-ca"} {
		a, err := newAuthority(name)
		if err != nil {
			return err
		}
		if err := a.write(d.in("pki", name)); err != nil {
			return err
		}
		authorities[name] = a
	}
	for _, l := range leaves(n) {
		if err := authorities[l.ca].issue(l, d.in("pki", l.name)); err != nil {
			return fmt.Errorf("certificate %s: %w", l.name, err)
		}
	}
	if err := writeServiceAccountKeys(d.in("pki", "service-account")); err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o600)
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "sallyport local cluster " + name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(certificateLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

func (a *authority) write(base string) error { return writePair(base, a.cert.Raw, a.key) }

func (a *authority) issue(l leaf, base string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: l.cn, Organization: l.groups},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, host := range l.hosts {
		// etcd's gateway dials its own server with the server's certificate, so both usages stay.
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	return writePair(base, der, key)
}

func writePair(base string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(base+".key", "EC PRIVATE KEY", der, 0o600),
		writePEM(base+".crt", "CERTIFICATE", cert, 0o644),
	)
}

// writeServiceAccountKeys makes the pair that signs and verifies service account tokens.
func writeServiceAccountKeys(base string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(base+".key", "EC PRIVATE KEY", private, 0o600),
		writePEM(base+".pub", "PUBLIC KEY", public, 0o644),
	)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

var kubeconfigTemplate = template.Must(template.New("kubeconfig").Parse(`apiVersion: v1
kind: Config
clusters:
- name: sallyport
  cluster:
    server: {{.Server}}
    certificate-authority-data: {{.CA}}
users:
- name: {{.User}}
  user:
    client-certificate-data: {{.Cert}}
    client-key-data: {{.Key}}
contexts:
- name: sallyport
  context: {cluster: sallyport, user: {{.User}}}
current-context: sallyport
`))

// writeKubeconfig writes a kubeconfig that carries the certificate called name.
func writeKubeconfig(d dirs, n network, name, path string) error {
	values := map[string]string{"Server": n.apiServer(), "User": name}
	for field, file := range map[string]string{"CA": "ca.crt", "Cert": name + ".crt", "Key": name + ".key"} {
		data, err := os.ReadFile(d.in("pki", file))
		if err != nil {
			return err
		}
		values[field] = base64.StdEncoding.EncodeToString(data)
	}
	var out bytes.Buffer
	if err := kubeconfigTemplate.Execute(&out, values); err != nil {
		return err
	}
	return writeIfChanged(path, out.Bytes(), 0o600)
}
