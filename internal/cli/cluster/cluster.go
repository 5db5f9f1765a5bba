// Package cluster is the Kubernetes side of `kubectl sso`: the user's kubeconfig, our objects, and the way to a pod's management port.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/version"
)

// Manager is the field manager of what `kubectl sso` changes.
const Manager = "kubectl-sso"

// nowhere is the API server that the libraries of kubectl assume where no kubeconfig names one.
const nowhere = "http://localhost:8080"

// Cluster is one namespace of one cluster, as the user of the kubeconfig may see it.
type Cluster struct {
	Client    client.WithWatch
	Namespace string

	config  *rest.Config
	forward Forwarder
}

// Connect reads the kubeconfig and the flags. forward is how pods are reached; nil is through the API server.
func Connect(flags *genericclioptions.ConfigFlags, forward Forwarder) (*Cluster, error) {
	loader := flags.ToRawKubeConfigLoader()
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig cannot be used (%s): set KUBECONFIG, --kubeconfig or --context", oneLine(err))
	}
	if raw, err := loader.RawConfig(); err == nil && len(raw.Clusters) == 0 && config.Host == nowhere {
		return nil, errors.New("there is no kubeconfig that names a cluster: set KUBECONFIG or --kubeconfig")
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "kubectl-sso/" + version.Version
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	if forward == nil {
		forward = portForward{config}
	}
	return &Cluster{Client: c, Namespace: namespace, config: config, forward: forward}, nil
}

// Caller is the name of the user as the API server knows them.
func (c *Cluster) Caller(ctx context.Context) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.Client.Create(ctx, review); err != nil {
		return "", c.explain(err, need{"create", "selfsubjectreviews.authentication.k8s.io", "", true})
	}
	return review.Status.UserInfo.Username, nil
}

// ServiceProvider finds one by name, or the only one of the namespace where the name is empty.
func (c *Cluster) ServiceProvider(ctx context.Context, name string) (*v1alpha1.ServiceProvider, error) {
	if name != "" {
		sp := &v1alpha1.ServiceProvider{}
		if err := c.get(ctx, "serviceproviders", v1alpha1.KindServiceProvider, name, sp); err != nil {
			return nil, err
		}
		return sp, nil
	}
	all, err := c.ServiceProviders(ctx)
	if err != nil {
		return nil, err
	}
	switch len(all) {
	case 1:
		return &all[0], nil
	case 0:
		return nil, fmt.Errorf("there is no ServiceProvider in namespace %s: name another with -n, `kubectl get sp -A` lists all", c.Namespace)
	}
	names := make([]string, 0, len(all))
	for i := range all {
		names = append(names, all[i].Name)
	}
	return nil, fmt.Errorf("namespace %s has %d ServiceProviders (%s): choose one with --service-provider", c.Namespace, len(all), strings.Join(names, ", "))
}

// ServiceProviders of the namespace, by name.
func (c *Cluster) ServiceProviders(ctx context.Context) ([]v1alpha1.ServiceProvider, error) {
	var list v1alpha1.ServiceProviderList
	if err := c.List(ctx, "serviceproviders", &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// IdentityProvider finds one by what people type: idp/okta, identityprovider/okta or okta.
func (c *Cluster) IdentityProvider(ctx context.Context, typed string) (*v1alpha1.IdentityProvider, error) {
	name, err := IdPName(typed)
	if err != nil {
		return nil, err
	}
	idp := &v1alpha1.IdentityProvider{}
	if err := c.get(ctx, "identityproviders", v1alpha1.KindIdentityProvider, name, idp); err != nil {
		return nil, err
	}
	return idp, nil
}

// IdPName is the name in idp/NAME.
func IdPName(typed string) (string, error) {
	kind, name, qualified := strings.Cut(typed, "/")
	if !qualified {
		kind, name = "idp", typed
	}
	known := []string{"idp", "identityprovider", "identityproviders", "identityproviders.sso.sallyport.dev", "identityprovider.sso.sallyport.dev"}
	if !slices.Contains(known, strings.ToLower(kind)) || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is not the name of an IdentityProvider: write idp/NAME; `kubectl get idp` lists them", typed)
	}
	return name, nil
}

func (c *Cluster) get(ctx context.Context, resource, kind, name string, into client.Object) error {
	err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no %s %s in namespace %s: `kubectl get %s -A` lists all", kind, name, c.Namespace, short[resource])
	}
	return c.explain(err, need{"get", resource + ".sso.sallyport.dev", name, false})
}

var short = map[string]string{"serviceproviders": "sp", "identityproviders": "idp"}

// Namespaces that have a ServiceProvider, sorted.
func (c *Cluster) Namespaces(ctx context.Context) ([]string, error) {
	var list v1alpha1.ServiceProviderList
	if err := c.Client.List(ctx, &list); err != nil {
		return nil, c.explain(err, need{"list", "serviceproviders.sso.sallyport.dev", "", true})
	}
	var all []string
	for i := range list.Items {
		all = append(all, list.Items[i].Namespace)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 {
		return nil, errors.New("there is no ServiceProvider in this cluster: choose another --context, or create one")
	}
	return all, nil
}

// List reads all objects of one of our resources in the namespace.
func (c *Cluster) List(ctx context.Context, resource string, into client.ObjectList) error {
	return c.explain(c.Client.List(ctx, into, client.InNamespace(c.Namespace)), need{"list", resource + ".sso.sallyport.dev", "", false})
}

// Annotate sets an annotation of an IdentityProvider or ServiceProvider and leaves everything else as it is.
func (c *Cluster) Annotate(ctx context.Context, object client.Object, annotation, value string) error {
	before := object.DeepCopyObject().(client.Object)
	annotations := maps.Clone(object.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotation] = value
	object.SetAnnotations(annotations)
	resource := "identityproviders"
	if _, ok := object.(*v1alpha1.ServiceProvider); ok {
		resource = "serviceproviders"
	}
	err := c.Client.Patch(ctx, object, client.MergeFrom(before), client.FieldOwner(Manager))
	return c.explain(err, need{"patch", resource + ".sso.sallyport.dev", object.GetName(), false})
}

// Warn writes a Warning Event about a ServiceProvider.
func (c *Cluster) Warn(ctx context.Context, sp *v1alpha1.ServiceProvider, reason, action, note string) error {
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{GenerateName: sp.Name + "-", Namespace: sp.Namespace},
		EventTime:  metav1.NowMicro(), Type: corev1.EventTypeWarning, Reason: reason, Action: action, Note: note,
		ReportingController: "sso.sallyport.dev/kubectl-sso", ReportingInstance: Manager,
		Regarding: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindServiceProvider, Namespace: sp.Namespace, Name: sp.Name, UID: sp.UID},
	}
	return c.explain(c.Client.Create(ctx, event), need{"create", "events.events.k8s.io", "", false})
}

// need is what a request needs to be allowed to do.
type need struct {
	verb, resource, name string
	clusterWide          bool
}

// explain makes one line of what the API server says, with what to do next.
func (c *Cluster) explain(err error, n need) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return c.forbidden(n)
	case apierrors.IsUnauthorized(err):
		return errors.New("the API server does not accept your credentials: sign in to the cluster again, or choose another --context")
	case noSuchKind(err):
		return fmt.Errorf("this cluster has no Sallyport (no %s): choose another --context, or install it", n.resource)
	case apierrors.ReasonForError(err) == "" && !errors.Is(err, context.Canceled):
		return fmt.Errorf("the API server %s cannot be reached (%s): check --context and the network", c.config.Host, oneLine(err))
	}
	return errors.New(oneLine(err))
}

func (c *Cluster) forbidden(n need) error {
	object := n.resource
	if n.name != "" {
		object += "/" + n.name
	}
	where := "in namespace " + c.Namespace
	if n.clusterWide {
		where = "in the cluster"
	}
	return fmt.Errorf("you may not %s %s %s: ask an administrator for that permission (verb %s on %s), `kubectl auth can-i --list -n %s` shows what you may do", n.verb, object, where, n.verb, n.resource, c.Namespace)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Ready says whether a pod is ready, and stays.
func Ready(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
