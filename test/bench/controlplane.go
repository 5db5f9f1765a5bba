package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"sallyport.dev/sallyport/test/internal/apiserver"
)

const (
	operatorNamespace = "sallyport-system"
	operatorUser      = "system:serviceaccount:" + operatorNamespace + ":sallyport-operator"
	// auditPolicy has one line written for every finished request of the operator, and nothing of anybody else.
	auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata, users: ["` + operatorUser + `"]}, {level: None}]
`
)

// controlPlane is a real API server and etcd, with what `make deploy` installs but the pods: there is no node.
type controlPlane struct {
	environment *envtest.Environment
	config      *rest.Config
	client      kubernetes.Interface
	dir         string
}

func startControlPlane(ctx context.Context) (*controlPlane, error) {
	dir, err := os.MkdirTemp("", "sallyport-bench")
	if err != nil {
		return nil, err
	}
	c := &controlPlane{environment: &envtest.Environment{BinaryAssetsDirectory: apiserver.Assets()}, dir: dir}
	if err := c.start(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *controlPlane) start(ctx context.Context) (err error) {
	if err := os.WriteFile(c.file("policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	c.environment.ControlPlane.GetAPIServer().Configure().Append("audit-policy-file", c.file("policy.yaml")).Append("audit-log-path", c.file("audit.log")).
		Append("enable-admission-plugins", "NamespaceLifecycle")
	ctrl.SetLogger(logr.Discard()) // unset, it complains with a stack among the figures
	if c.config, err = c.environment.Start(); err != nil {
		return fmt.Errorf("starting the API server (make assets builds it): %w", err)
	}
	c.config.QPS = -1
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	if err := os.WriteFile(c.file("admin"), c.environment.KubeConfig, 0o600); err != nil {
		return err
	}
	if err := c.install(ctx); err != nil {
		return err
	}
	return c.kubeconfigOf(ctx, "operator", operatorNamespace, "sallyport-operator")
}

func (c *controlPlane) file(name string) string { return filepath.Join(c.dir, name) }

func (c *controlPlane) stop() {
	_ = c.environment.Stop()
	_ = os.RemoveAll(c.dir)
}

func (c *controlPlane) install(ctx context.Context) error {
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", "config/manager/namespace.yaml"}, {"apply", "--server-side", "-k", "config/crd"}, {"apply", "--server-side", "-k", "config/rbac"},
		{"wait", "--for=condition=Established", "crd", "--all"},
	} {
		command := exec.CommandContext(ctx, apiserver.Kubectl(), append([]string{"--kubeconfig", c.file("admin")}, args...)...)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// token is one of the service account, as its pods have it.
func (c *controlPlane) token(ctx context.Context, namespace, account string) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(6 * 60 * 60))}}
	got, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return got.Status.Token, nil
}

func (c *controlPlane) kubeconfigOf(ctx context.Context, file, namespace, account string) error {
	token, err := c.token(ctx, namespace, account)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["bench"] = &clientcmdapi.Cluster{Server: c.config.Host, CertificateAuthorityData: c.config.CAData}
	config.AuthInfos["bench"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench"}
	config.CurrentContext = "bench"
	return clientcmd.WriteToFile(*config, c.file(file))
}

// requests are what the operator asked of the API server since a moment, without watches that it keeps.
type requests struct{ writes, reads int }

func (c *controlPlane) requestsSince(begin time.Time) (requests, error) {
	var r requests
	file, err := os.Open(c.file("audit.log"))
	if err != nil {
		return r, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct {
			Verb     string           `json:"verb"`
			Received metav1.MicroTime `json:"requestReceivedTimestamp"`
		}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			return r, err
		}
		switch {
		case entry.Received.Time.Before(begin) || entry.Verb == "watch":
		case entry.Verb == "get" || entry.Verb == "list":
			r.reads++
		default:
			r.writes++
		}
	}
	return r, lines.Err()
}
