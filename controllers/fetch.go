package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/render"
	"sallyport.dev/sallyport/internal/trust"
)

const (
	defaultRefresh = time.Hour
	firstBackoff   = 30 * time.Second
	copyKey        = "metadata.json"
)

// fetchTimes are the times of metadata that comes from a URL.
type fetchTimes struct {
	lastFetched, lastChanged, nextRefresh *metav1.Time
}

// goodCopy is the last metadata that was accepted. It is kept in a Secret, so that a restart of the operator, or of the IdP's server, changes nothing.
type goodCopy struct {
	Metadata           *trust.Metadata `json:"metadata"`
	ETag, LastModified string          `json:",omitempty"`
	Fetched, Changed   time.Time
	// Input is what the copy was fetched for: another URL, pin or CA makes a new fetch due.
	Input [32]byte
}

// fetch is the state of one connection's metadata.
type fetch struct {
	mutex    sync.Mutex
	good     goodCopy
	problem  *trust.Error
	failures int
	next     time.Time
	input    [32]byte
	running  bool
}

// fetched returns what is known of metadata that comes from a URL, and starts a fetch in the background when one is due: however long a
// server takes, it delays nobody, itself included.
func (r *Reconciler) fetched(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider) (*trustState, error) {
	request, err := r.fetchRequest(ctx, idp)
	var problem *fieldError
	if err != nil && !errors.As(err, &problem) {
		return nil, err
	}
	f, err := r.fetchOf(ctx, idp)
	if err != nil {
		return nil, err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	state := &trustState{source: v1alpha1.MetadataSourceURL}
	if problem == nil {
		r.fetchWhenDue(ctx, s, idp, f, request)
	}
	f.describe(s, idp, state, problem)
	return state, nil
}

func (r *Reconciler) fetchWhenDue(ctx context.Context, s *scope, idp *v1alpha1.IdentityProvider, f *fetch, request trust.Request) {
	input := fetchInput(idp, request)
	if f.input != input {
		f.input, f.next, f.failures, f.problem = input, time.Time{}, 0, nil
		if f.good.Input == input {
			f.next = f.good.Fetched.Add(refreshInterval(idp, f.good.Metadata))
		}
	}
	if !s.now.Before(f.next) && !f.running {
		f.running = true
		if f.good.Input == input {
			request.ETag, request.LastModified = f.good.ETag, f.good.LastModified
		}
		go r.fetch(context.WithoutCancel(ctx), s.key, idp.DeepCopy(), f, request, input)
	}
	if !f.running {
		s.later(f.next.Sub(s.now) + time.Millisecond)
	}
}

// fetch runs in the background and asks for another pass when it is done.
func (r *Reconciler) fetch(ctx context.Context, key types.NamespacedName, idp *v1alpha1.IdentityProvider, f *fetch, request trust.Request, input [32]byte) {
	defer r.notify(key)
	result, err := r.Fetcher.Fetch(ctx, request)
	now := r.Clock.Now()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.running = false
	if f.input != input {
		return // asked for something else meanwhile
	}
	if err == nil && !result.NotModified {
		err = trust.CheckEntityID(f.good.Metadata, result.Metadata, string(idp.Spec.SAML.Metadata.EntityID))
	}
	if err != nil {
		f.fail(idp, err, now)
		return
	}
	good := f.good
	good.Fetched, good.Input = now.UTC().Truncate(time.Second), input
	if !result.NotModified {
		if good.Metadata == nil || good.Metadata.Digest != result.Metadata.Digest {
			good.Changed = good.Fetched
		}
		good.Metadata, good.ETag, good.LastModified = result.Metadata, result.ETag, result.LastModified
	}
	if err := r.saveCopy(ctx, key.Name, idp, good); err != nil {
		f.next = now.Add(firstBackoff)
		return
	}
	f.good, f.problem, f.failures = good, nil, 0
	f.next = now.Add(jitter(refreshInterval(idp, good.Metadata)))
}

func (f *fetch) fail(idp *v1alpha1.IdentityProvider, err error, now time.Time) {
	typed, ok := errors.AsType[*trust.Error](err)
	if !ok {
		typed = &trust.Error{Kind: trust.KindConnection, Sentence: "The metadata could not be fetched."}
	}
	f.problem = typed
	wait := min(firstBackoff<<min(f.failures, 10), refreshInterval(idp, f.good.Metadata))
	f.failures++
	f.next = now.Add(max(jitter(wait), typed.RetryAfter))
}

// describe says in status terms what is trusted and how fresh it is.
func (f *fetch) describe(s *scope, idp *v1alpha1.IdentityProvider, state *trustState, problem *fieldError) {
	good := f.good.Metadata
	if good != nil && !good.ValidUntil.IsZero() && !s.now.Before(good.ValidUntil) {
		good = nil
	}
	if good != nil {
		state.metadata, state.resolved.Trust = good, &good.Trust
		state.times = fetchTimes{ptr.To(metav1.NewTime(f.good.Fetched)), ptr.To(metav1.NewTime(f.good.Changed)), nil}
	}
	set := func(status metav1.ConditionStatus, reason, format string, args ...any) {
		state.fresh = compile.Condition{Type: v1alpha1.ConditionMetadataFresh, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	kept := ""
	if good != nil {
		kept = fmt.Sprintf(" Serving the copy of %s.", f.good.Changed.Format(time.DateOnly))
	}
	switch {
	case problem != nil:
		set(metav1.ConditionFalse, problem.reason, "%s.%s", problem.message, kept)
	case f.problem != nil:
		set(metav1.ConditionFalse, reasonOf(f.problem), "GET %s: %s%s Check spec.saml.metadata.url.", idp.Spec.SAML.Metadata.URL, f.problem.Sentence, kept)
	case good == nil && f.good.Metadata != nil:
		set(metav1.ConditionFalse, v1alpha1.ReasonMetadataExpired, "The metadata was valid until %s, and there is no newer one yet.", f.good.Metadata.ValidUntil.Format(time.DateOnly))
	case good == nil:
		set(metav1.ConditionUnknown, v1alpha1.ReasonFetching, "The metadata is being fetched for the first time.")
	default:
		set(metav1.ConditionTrue, v1alpha1.ReasonFresh, "The last refresh was good.")
	}
	if good == nil {
		state.resolved.Reason, state.resolved.Message = state.fresh.Reason, state.fresh.Message
	}
}

// fetchOf returns the state of one connection, with the last good copy of an earlier run.
func (r *Reconciler) fetchOf(ctx context.Context, idp *v1alpha1.IdentityProvider) (*fetch, error) {
	if f, ok := r.fetches.get(idp.UID); ok {
		return f, nil
	}
	f := &fetch{}
	var secret corev1.Secret
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: idp.Namespace, Name: copySecretName(idp.Name)}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if err == nil && metav1.IsControlledBy(&secret, idp) {
		// A copy that cannot be read is fetched anew.
		_ = json.Unmarshal(secret.Data[copyKey], &f.good)
	}
	r.fetches.set(idp.UID, f)
	return f, nil
}

func copySecretName(idp string) string { return "sallyport-metadata-" + idp }

func (r *Reconciler) saveCopy(ctx context.Context, serviceProvider string, idp *v1alpha1.IdentityProvider, good goodCopy) error {
	content, err := json.Marshal(good)
	if err != nil {
		return err
	}
	secret := coreac.Secret(copySecretName(idp.Name), idp.Namespace).
		WithLabels(render.Labels(serviceProvider)).
		WithOwnerReferences(metaac.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindIdentityProvider).
			WithName(idp.Name).WithUID(idp.UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{copyKey: content})
	return r.Client.Apply(ctx, secret, client.FieldOwner(ownerKeys), client.ForceOwnership)
}

func (r *Reconciler) fetchRequest(ctx context.Context, idp *v1alpha1.IdentityProvider) (trust.Request, error) {
	source := idp.Spec.SAML.Metadata
	request := trust.Request{URL: string(source.URL)}
	var err error
	if request.Parse, err = r.parseOptions(ctx, idp); err != nil {
		return request, err
	}
	field := metadataField + ".caBundle"
	switch {
	case source.CABundle == nil:
	case source.CABundle.ConfigMapRef != nil:
		request.CABundle, err = r.configMapKey(ctx, idp.Namespace, field, *source.CABundle.ConfigMapRef, v1alpha1.DefaultCAKey)
	case source.CABundle.SecretRef != nil:
		request.CABundle, err = r.secretKey(ctx, idp.Namespace, field, *source.CABundle.SecretRef, v1alpha1.DefaultCAKey)
	}
	return request, err
}

// fetchInput is what makes a fetch due at once when it changes; the annotation is the user's way to ask for one.
func fetchInput(idp *v1alpha1.IdentityProvider, request trust.Request) [32]byte {
	var certificates [][]byte
	for _, certificate := range request.Parse.SignatureCertificates {
		certificates = append(certificates, certificate.Raw)
	}
	// Strings and bytes always marshal.
	encoded, _ := json.Marshal([]any{request.URL, request.CABundle, request.Parse.EntityID, certificates, idp.Annotations[v1alpha1.AnnotationRefresh]})
	return sha256.Sum256(encoded)
}

// refreshInterval is the user's, or shorter when the metadata asks for that or expires sooner; never below a minute.
func refreshInterval(idp *v1alpha1.IdentityProvider, metadata *trust.Metadata) time.Duration {
	interval := idp.Spec.SAML.Metadata.RefreshInterval.Or(defaultRefresh)
	if metadata != nil && metadata.CacheDuration > 0 {
		interval = min(interval, metadata.CacheDuration)
	}
	return max(interval, time.Minute)
}

// jitter spreads refreshes over a fifth of the interval, so that a thousand connections do not ask at once.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d)/5+1))
}
