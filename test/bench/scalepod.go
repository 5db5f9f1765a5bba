package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/render"
)

// account is where a pod finds the token of its service account. The process gets it in a mount namespace of its own, as the kubelet does it; that needs root.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

// podIP is the pod's address, where nothing else of this machine listens on the management port.
const podIP = "127.0.80.1"

// inPod brings the token and CA in directory $1 to where a pod has them, on nobody else's view of the machine, and becomes the rest of its arguments.
const inPod = `set -e; mount --make-rprivate /; mkdir -p /run/secrets; mount -t tmpfs tmpfs /run/secrets; mkdir -p ` + account + `; cp "$1"/token "$1"/ca.crt ` + account + `; shift; exec "$@"`

// startPod runs the real service provider with the rights of its own service account, and stands in for the kubelet: the Pod object is Ready when the
// process is.
func (c *controlPlane) startPod(ctx context.Context, namespace, serviceProvider string) (*peerProcess, error) {
	secret, err := waitFor(ctx, func() (*corev1.Secret, error) {
		return c.client.CoreV1().Secrets(namespace).Get(ctx, render.ManagementSecretName(serviceProvider), metav1.GetOptions{})
	})
	if err != nil {
		return nil, err
	}
	token, err := waitFor(ctx, func() (string, error) { return c.token(ctx, namespace, render.WorkloadName(serviceProvider)) })
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"management-token": secret.Data["token"], "token": []byte(token), "ca.crt": c.config.CAData} {
		if err := os.WriteFile(c.file(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	public, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(c.config.Host, "https://"))
	if err != nil {
		return nil, err
	}
	management := fmt.Sprintf("%s:%d", podIP, render.ManagementPort)
	command := exec.Command("/bin/sh", "-c", inPod, "pod", c.dir, filepath.Join("bin", "serviceprovider"), "--snapshot-secret", serviceProvider, "--namespace", namespace,
		"--store", "sqlite://"+c.file("store.db"), "--listen", public, "--management-listen", management, "--management-token-file", c.file("management-token"), "--log-level", "warn")
	command.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%w: the pod needs root, and bin/serviceprovider from make build", err)
	}
	p := &peerProcess{command: command, address: public}
	if _, err := waitFor(ctx, func() (bool, error) { return true, answersReady(management) }); err != nil {
		p.stop()
		return nil, err
	}
	return p, c.readyPod(ctx, namespace, serviceProvider)
}

// readyPod makes the Pod object.
func (c *controlPlane) readyPod(ctx context.Context, namespace, serviceProvider string) error {
	pods := c.client.CoreV1().Pods(namespace)
	pod, err := pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: serviceProvider + "-0", Labels: render.Labels(serviceProvider)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "service-provider", Image: "none"}}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: podIP,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}}
	_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

func answersReady(management string) error {
	response, err := http.Get("http://" + management + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", response.Status)
	}
	return nil
}

// waitFor tries until there is no error, for two minutes.
func waitFor[T any](ctx context.Context, try func() (T, error)) (T, error) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		got, err := try()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return got, err
		}
	}
}
