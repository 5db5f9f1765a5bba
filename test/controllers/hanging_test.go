package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/trust"
)

const (
	// hangTimeout is the time that a server has, as in production.
	hangTimeout = 10 * time.Second
	// timesAlone is how much longer than alone it may take, at the median: a pass looks at all thousand, whatever their servers do.
	timesAlone = 10
)

// TestAThousandServersThatHangDelayNobody applies IdentityProviders by URL, one after the other, from when a thousand others have asked servers that take the
// request and never answer, and while those are given up and their statuses say so. Each is Ready as soon as one that is alone with an operator of its own and is
// applied right after it, by a factor.
func TestAThousandServersThatHangDelayNobody(t *testing.T) {
	const hanging = 1000
	server := newPlayed(t)
	server.play("hang", server.hang)
	alone, beside := newQueue(t, server), newQueue(t, server)
	alone.ready(t)
	beside.ready(t)
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range hanging {
		group.Go(func() error { return k8s.Create(t.Context(), beside.provider(fmt.Sprintf("hang-%d", i), "hang")) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every server is asked", func() bool { return server.times("hang") >= hanging })
	t.Logf("%d servers hang after %s", hanging, time.Since(began).Round(time.Millisecond))
	var with, without []time.Duration
	pair := func() { with, without = append(with, beside.ready(t)), append(without, alone.ready(t)) }
	pair()
	eventually(t, "the first ones are given up", func() bool { return beside.failed(t) > 0 })
	for range 4 {
		pair()
	}
	slices.Sort(with)
	slices.Sort(without)
	t.Logf("Ready after %s at the median and %s at the most beside %d whose servers hang and are given up meanwhile, alone after %s and %s (%d times)",
		with[len(with)/2].Round(time.Millisecond), with[len(with)-1].Round(time.Millisecond), hanging,
		without[len(without)/2].Round(time.Millisecond), without[len(without)-1].Round(time.Millisecond), len(with))
	if with[len(with)/2] > timesAlone*without[len(without)/2] {
		t.Errorf("beside %d whose servers hang it takes %s, alone %s", hanging, with[len(with)/2], without[len(without)/2])
	}
}

// queue is a namespace in which IdentityProviders are applied one after the other.
type queue struct {
	ns     string
	server *played
	n      int
}

func newQueue(t testing.TB, server *played) *queue {
	t.Helper()
	ns := namespace(t)
	newOperator(t, ns, withFetcher(trust.FetcherOptions{Proxy: server.through, Timeout: hangTimeout}))
	create(t, server.ca(ns), serviceProvider(ns))
	newPod(t, ns, "main")
	return &queue{ns: ns, server: server}
}

// provider has a metadata server of its own name.
func (q *queue) provider(name, play string) *v1alpha1.IdentityProvider {
	idp, _ := q.server.connection(q.ns, name)
	idp.Spec.SAML.Metadata.URL = v1alpha1.HTTPSURL(fmt.Sprintf("https://%s.%s/%s/metadata", name, playedHost, play))
	return idp
}

// ready applies another IdentityProvider, whose server answers, and tells how long it takes to be Ready.
func (q *queue) ready(t testing.TB) time.Duration {
	t.Helper()
	q.n++
	name := fmt.Sprintf("good-%d", q.n)
	q.server.play(name, answer(idpMetadata(t, "https://"+name+".idp.example/metadata")))
	idp := q.provider(name, name)
	began := time.Now()
	create(t, idp)
	await(t, idp, "Ready", isTrue, "Serving")
	return time.Since(began)
}

// failed tells how many have it in their status that their server does not answer.
func (q *queue) failed(t testing.TB) int {
	t.Helper()
	var list v1alpha1.IdentityProviderList
	if err := k8s.List(t.Context(), &list, client.InNamespace(q.ns)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range list.Items {
		if c := meta.FindStatusCondition(list.Items[i].Status.Conditions, v1alpha1.ConditionMetadataFresh); c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonFetchFailed {
			n++
		}
	}
	return n
}
