package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

const etcdURL = "https://127.0.0.1:23790"

// controlPlane lists etcd, API server and controllers in the order of their start. Without a node
// there is nothing to schedule on, hence no scheduler.
func controlPlane(d dirs, n network, node bool) []component {
	all := []component{etcd(d), apiServer(d, n), controllerManager(d)}
	if node {
		all = append(all, scheduler(d))
	}
	return all
}

// components lists everything that runs, in the order of its start.
func components(d dirs, n network, node bool) []component {
	if !node {
		return controlPlane(d, n, false)
	}
	return append([]component{containerd(d)}, append(controlPlane(d, n, true), kubelet(d), kubeProxy(d))...)
}

func etcd(d dirs) component {
	pki := func(name string) string { return d.in("pki", name) }
	return component{
		name: "etcd", exe: d.asset("etcd"),
		args: []string{
			"--name=sallyport", "--data-dir=" + d.in("etcd"), "--log-level=warn",
			"--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
			"--listen-peer-urls=http://127.0.0.1:23791", "--initial-advertise-peer-urls=http://127.0.0.1:23791",
			"--initial-cluster=sallyport=http://127.0.0.1:23791",
			"--cert-file=" + pki("etcd.crt"), "--key-file=" + pki("etcd.key"),
			"--client-cert-auth", "--trusted-ca-file=" + pki("etcd-ca.crt"),
			// The data dies with the cluster: waiting for the disk on every write protects nothing.
			"--unsafe-no-fsync",
		},
		ready: httpsReady(etcdURL+"/health", pki("etcd-ca.crt"), pki("etcd-client")),
	}
}

func apiServer(d dirs, n network) component {
	pki := func(name string) string { return d.in("pki", name) }
	reconciler := "lease"
	if n == networkOf(false) {
		reconciler = "none" // loopback may not be the endpoint of a Service
	}
	return component{
		name: "kube-apiserver", exe: d.asset("kube-apiserver"),
		args: []string{
			"--endpoint-reconciler-type=" + reconciler,
			"--bind-address=" + n.address, "--advertise-address=" + n.address, "--secure-port=6443",
			"--etcd-servers=" + etcdURL, "--etcd-cafile=" + pki("etcd-ca.crt"),
			"--etcd-certfile=" + pki("etcd-client.crt"), "--etcd-keyfile=" + pki("etcd-client.key"),
			"--tls-cert-file=" + pki("kube-apiserver.crt"), "--tls-private-key-file=" + pki("kube-apiserver.key"),
			"--client-ca-file=" + pki("ca.crt"),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
			"--service-cluster-ip-range=" + serviceCIDR,
			"--service-account-issuer=https://kubernetes.default.svc." + clusterDomain,
			"--service-account-key-file=" + pki("service-account.pub"),
			"--service-account-signing-key-file=" + pki("service-account.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"),
			"--kubelet-client-certificate=" + pki("kube-apiserver-client.crt"),
			"--kubelet-client-key=" + pki("kube-apiserver-client.key"),
			"--kubelet-preferred-address-types=InternalIP", "--profiling=false",
		},
		ready: httpsReady(n.apiServer()+"/readyz", pki("ca.crt"), pki("admin")),
	}
}

func controllerManager(d dirs) component {
	kubeconfig := d.in("kubeconfigs", "kube-controller-manager")
	return component{
		name: "kube-controller-manager", exe: d.asset("kube-controller-manager"),
		args: []string{
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials",
			"--root-ca-file=" + d.in("pki", "ca.crt"),
			"--service-account-private-key-file=" + d.in("pki", "service-account.key"), "--profiling=false",
		},
		ready: insecureReady("https://127.0.0.1:10257/healthz"),
	}
}

func scheduler(d dirs) component {
	kubeconfig := d.in("kubeconfigs", "kube-scheduler")
	return component{
		name: "kube-scheduler", exe: d.asset("kube-scheduler"),
		args: []string{
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false",
		},
		ready: insecureReady("https://127.0.0.1:10259/healthz"),
	}
}

func containerd(d dirs) component {
	exe, err := exec.LookPath("containerd")
	if err != nil {
		exe = "/usr/bin/containerd" // its absence is reported before anything starts
	}
	return component{
		name: "containerd", exe: exe,
		args: []string{"--config=" + d.in("containerd.toml")},
		ready: func(ctx context.Context) error {
			_, err := ctr(ctx, d, "version")
			return err
		},
	}
}

func kubelet(d dirs) component {
	return component{
		name: "kubelet", exe: d.asset("kubelet"),
		args: []string{
			"--config=" + d.in("kubelet.yaml"), "--kubeconfig=" + d.in("kubeconfigs", "kubelet"),
			"--root-dir=" + d.in("kubelet"), "--cert-dir=" + d.in("pki"),
			"--node-ip=10.244.0.1", "--hostname-override=" + nodeName,
		},
		ready: plainReady("http://127.0.0.1:10248/healthz"),
	}
}

func kubeProxy(d dirs) component {
	return component{
		name: "kube-proxy", exe: d.asset("kube-proxy"),
		args:  []string{"--config=" + d.in("kube-proxy.yaml")},
		ready: plainReady("http://127.0.0.1:10256/healthz"),
	}
}

// httpsReady asks with a client certificate and checks the server's; pair is the path of the
// certificate without its suffix.
func httpsReady(url, ca, pair string) func(context.Context) error {
	return func(ctx context.Context) error {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		cert, err := tls.LoadX509KeyPair(pair+".crt", pair+".key")
		if err != nil {
			return err
		}
		return ask(ctx, url, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}})
	}
}

// insecureReady is for the programs that make a certificate of their own for loopback.
func insecureReady(url string) func(context.Context) error {
	return func(ctx context.Context) error { return ask(ctx, url, &tls.Config{InsecureSkipVerify: true}) }
}

func plainReady(url string) func(context.Context) error {
	return func(ctx context.Context) error { return ask(ctx, url, nil) }
}

func ask(ctx context.Context, url string, conf *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: conf}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// pauseOrResume kills one component as a crash would, or starts it again.
func pauseOrResume(ctx context.Context, d dirs, pause bool, name string) error {
	o, err := readOwner(d)
	if err != nil {
		return err
	}
	if o == nil {
		return errors.New("no cluster of this tool runs here: pause and resume need one (make cluster-up)")
	}
	d.state = o.State
	var names []string
	for _, c := range components(d, networkOf(o.Node), o.Node) {
		if c.name == name {
			if pause {
				return stop(c.pidFile(d), 0)
			}
			return c.start(ctx, d)
		}
		names = append(names, c.name)
	}
	return fmt.Errorf("no component is called %q: they are %s", name, strings.Join(names, ", "))
}
