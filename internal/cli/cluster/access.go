package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	streamhttp "k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cli/manage"
	"sallyport.dev/sallyport/internal/render"
)

// tokenKey is the key of the token in its Secret.
const tokenKey = "token"

// openTimeout is how long the way to a pod may take to open.
const openTimeout = 15 * time.Second

// Forwarder opens a way to the management port of a pod.
type Forwarder interface {
	// Forward returns an address, host:port, that leads to the port until stop is called.
	Forward(ctx context.Context, pod *corev1.Pod) (address string, stop func(), err error)
}

// Pods of a ServiceProvider, by name.
func (c *Cluster) Pods(ctx context.Context, sp *v1alpha1.ServiceProvider) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := c.Client.List(ctx, &list, client.InNamespace(c.Namespace), client.MatchingLabels(render.Selector(sp.Name)))
	if err != nil {
		return nil, c.explain(err, need{"list", "pods", "", false})
	}
	return list.Items, nil
}

// Manage opens the management API of a ready pod of the ServiceProvider, on behalf of the user. Call close at the end.
func (c *Cluster) Manage(ctx context.Context, sp *v1alpha1.ServiceProvider) (m *manage.Client, closeAll func(), err error) {
	caller, err := c.Caller(ctx)
	if err != nil {
		return nil, nil, err
	}
	token, err := c.token(ctx, sp)
	if err != nil {
		return nil, nil, err
	}
	pods, err := c.Pods(ctx, sp)
	if err != nil {
		return nil, nil, err
	}
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return !Ready(&p) })
	if len(pods) == 0 {
		return nil, nil, fmt.Errorf("no pod of ServiceProvider %s is ready: `kubectl sso status -n %s` says why", sp.Name, c.Namespace)
	}
	var failures []error
	for i := range pods {
		address, stop, err := c.forward.Forward(ctx, &pods[i])
		if err != nil && strings.Contains(err.Error(), " is forbidden: ") {
			// The tunnel's error is text alone.
			return nil, nil, c.forbidden(need{"create", "pods/portforward", "", false})
		}
		if err != nil {
			failures = append(failures, &manage.Unreachable{Namespace: c.Namespace, Pod: pods[i].Name, Err: errors.New(oneLine(err))})
			continue
		}
		m := manage.New(manage.Options{Address: address, Token: token, Caller: caller, Namespace: c.Namespace, Pod: pods[i].Name})
		return m, func() { m.Close(); stop() }, nil
	}
	return nil, nil, failures[0]
}

// token reads the management API's token from its Secret.
func (c *Cluster) token(ctx context.Context, sp *v1alpha1.ServiceProvider) (string, error) {
	name := render.ManagementSecretName(sp.Name)
	var secret corev1.Secret
	err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) || err == nil && len(secret.Data[tokenKey]) == 0 {
		return "", fmt.Errorf("the Secret %s with the token of the management API does not exist: the operator creates it; `kubectl sso status -n %s` says whether it is running", name, c.Namespace)
	}
	if err != nil {
		return "", c.explain(err, need{"get", "secrets", name, false})
	}
	return string(secret.Data[tokenKey]), nil
}

// portForward goes through the API server, as `kubectl port-forward` does: over a WebSocket, or SPDY where something in between knows none.
type portForward struct{ config *rest.Config }

func (p portForward) Forward(ctx context.Context, pod *corev1.Pod) (string, func(), error) {
	clientset, err := kubernetes.NewForConfig(p.config)
	if err != nil {
		return "", nil, err
	}
	target := clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(p.config)
	if err != nil {
		return "", nil, err
	}
	older := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	newer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, p.config)
	if err != nil {
		return "", nil, err
	}
	dialer := portforward.NewFallbackDialerForStreaming(newer, older, func(err error) bool { return streamhttp.IsUpgradeFailure(err) || streamhttp.IsHTTPSProxyError(err) })
	ctx, stop := context.WithCancel(ctx)
	opened, ended := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", render.ManagementPort)}, opened, io.Discard, io.Discard)
	if err != nil {
		stop()
		return "", nil, err
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-opened:
	case err := <-ended:
		stop()
		return "", nil, err
	case <-time.After(openTimeout):
		stop()
		return "", nil, fmt.Errorf("the connection through the API server was not established within %s", openTimeout)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		return "", nil, err
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), func() { stop(); <-ended }, nil
}

func noSuchKind(err error) bool { return meta.IsNoMatchError(err) }
