package controllers

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/metric"
)

// maxUnhealthy bounds the series that name single objects, of one ServiceProvider: with a fault that hits everything at once, the counts still say how many.
const maxUnhealthy = 200

// gauges are what the operator says of the objects themselves. Series grow with what is wrong and not with the number of objects: conditions are counted, and
// an object has a series of its own only while one of its conditions is not True, or it has certificates or metadata to look after.
type gauges struct {
	catalogue metric.Catalogue

	certificateEnd, headerKeyEnd, conditions, unhealthy, pods, published, acknowledged *prometheus.Desc

	propagation *prometheus.HistogramVec
	refreshes   *prometheus.CounterVec

	mutex sync.Mutex
	found map[types.NamespacedName][]gauge
}

// gauge is one value. It is made a metric when somebody asks for it, and not in every pass.
type gauge struct {
	of     *prometheus.Desc
	value  float64
	labels []string
}

func newGauges() *gauges {
	g := &gauges{found: map[types.NamespacedName][]gauge{}}
	c := &g.catalogue
	g.conditions = c.GaugeDesc("sso_conditions", "Objects by kind, condition and status of the condition (True, False, Unknown).", "namespace", "serviceprovider", "kind", "condition", "status")
	g.unhealthy = c.GaugeDesc("sso_object_unhealthy", "1 for each condition of an object that is not True, with its reason; at most 200 for a ServiceProvider. Healthy objects have none.",
		"namespace", "serviceprovider", "kind", "name", "condition", "reason")
	g.certificateEnd = c.GaugeDesc("sso_certificate_not_after_timestamp_seconds",
		"When a certificate expires that nothing has replaced yet, in Unix seconds. side is idp or sp, sha256 the beginning of the fingerprint.",
		"namespace", "serviceprovider", "idp", "side", "sha256")
	g.headerKeyEnd = c.GaugeDesc("sso_header_key_not_after_timestamp_seconds",
		"When the key that signs the identity header has to have been replaced, in Unix seconds. kid is its ID in tokens. It is replaced by itself two hours before.",
		"namespace", "serviceprovider", "kid")
	g.pods = c.GaugeDesc("sso_pods", "Pods of a ServiceProvider by state: wanted, ready, and current, which are the ready ones that serve the published revision.", "namespace", "serviceprovider", "state")
	g.published = c.GaugeDesc("sso_published_revision_info", "1 for the revision of the snapshot that the operator has published.", "namespace", "serviceprovider", "revision")
	g.acknowledged = c.GaugeDesc("sso_acknowledged_revision_info", "1 for the last revision that every ready pod has acknowledged.", "namespace", "serviceprovider", "revision")
	g.propagation = c.Histograms("sso_propagation_duration_seconds", "Time from when the operator hears of a change to when every ready pod has acknowledged the snapshot with it.",
		[]float64{.05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 300}, "namespace", "serviceprovider")
	g.refreshes = c.Counters("sso_metadata_refreshes_total", "Fetches of an IdentityProvider's metadata from its URL by result: changed, unchanged, failed.", "namespace", "serviceprovider", "idp", "result")
	return g
}

// Describe and Collect make it a prometheus.Collector.
func (g *gauges) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.certificateEnd, g.headerKeyEnd, g.conditions, g.unhealthy, g.pods, g.published, g.acknowledged} {
		descriptions <- d
	}
	g.propagation.Describe(descriptions)
	g.refreshes.Describe(descriptions)
}

// Collect sends what the last passes have found.
func (g *gauges) Collect(metrics chan<- prometheus.Metric) {
	g.propagation.Collect(metrics)
	g.refreshes.Collect(metrics)
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for _, all := range g.found {
		for _, one := range all {
			metrics <- prometheus.MustNewConstMetric(one.of, prometheus.GaugeValue, one.value, one.labels...)
		}
	}
}

// Metrics are the definitions of the operator's own metrics, for the documentation.
func Metrics() []metric.Definition { return newGauges().catalogue.Definitions() }

// set replaces what is known of a ServiceProvider and its objects by what a pass has found.
func (g *gauges) set(s *scope, subjects []subject) {
	key := s.key
	if s.serviceProvider == nil {
		g.forget(key)
		return
	}
	all := make([]gauge, 0, len(s.expiring)+64)
	add := func(d *prometheus.Desc, value float64, labels ...string) {
		all = append(all, gauge{d, value, append([]string{key.Namespace, key.Name}, labels...)})
	}
	for _, c := range s.expiring {
		add(g.certificateEnd, float64(c.notAfter.Unix()), c.connection, c.side, short(c.sha256))
	}
	for _, k := range s.memory.headerKeyStatus(s.wanted.headerKeys()) {
		if k.Phase == v1alpha1.KeyPhaseCurrent {
			add(g.headerKeyEnd, float64(k.NotAfter.Unix()), k.ID)
		}
	}
	counts, wrong := tally(subjects)
	for labels, n := range counts {
		add(g.conditions, float64(n), labels[:]...)
	}
	for _, labels := range wrong[:min(len(wrong), maxUnhealthy)] {
		add(g.unhealthy, 1, labels[:]...)
	}
	add(g.pods, float64(s.programmed.wanted), "wanted")
	add(g.pods, float64(s.programmed.ready), "ready")
	add(g.pods, float64(s.programmed.serving), "current")
	if encoded := s.memory.published.encoded; encoded != nil {
		add(g.published, 1, encoded.Revision)
	}
	if revision := acknowledgedRevision(s); revision != "" {
		add(g.acknowledged, 1, revision)
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.found[key] = all
}

func acknowledgedRevision(s *scope) string {
	if s.programmed.all {
		return s.memory.published.encoded.Revision
	}
	return s.serviceProvider.Status.ProgrammedRevision
}

// tally counts conditions by kind, condition and status, and returns kind, name, condition and reason of those that are not True, in a stable order.
// DeletionBlocked says something while it is True, and is counted only.
func tally(subjects []subject) (counts map[[3]string]int, wrong [][4]string) {
	counts = map[[3]string]int{}
	for _, o := range subjects {
		for _, c := range o.conditionsAfter {
			counts[[3]string{o.kind, c.Type, string(c.Status)}]++
			if c.Status != metav1.ConditionTrue && c.Type != v1alpha1.ConditionDeletionBlocked {
				wrong = append(wrong, [4]string{o.kind, o.object.GetName(), c.Type, c.Reason})
			}
		}
	}
	slices.SortFunc(wrong, func(a, b [4]string) int { return slices.CompareFunc(a[:], b[:], cmp.Compare[string]) })
	return counts, wrong
}

// forget removes everything about a ServiceProvider that is gone.
func (g *gauges) forget(key types.NamespacedName) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if _, known := g.found[key]; !known {
		return
	}
	delete(g.found, key)
	labels := prometheus.Labels{"namespace": key.Namespace, "serviceprovider": key.Name}
	g.propagation.DeletePartialMatch(labels)
	g.refreshes.DeletePartialMatch(labels)
}

// propagated notes how long a change took to reach every pod.
func (g *gauges) propagated(key types.NamespacedName, d time.Duration) {
	g.propagation.WithLabelValues(key.Namespace, key.Name).Observe(d.Seconds())
}

// refreshed counts one fetch of metadata.
func (g *gauges) refreshed(owner idpOwner, result string) {
	g.refreshes.WithLabelValues(owner.serviceProvider.Namespace, owner.serviceProvider.Name, owner.name, result).Inc()
}

// forgetIdP removes the counters of an IdentityProvider that is gone.
func (g *gauges) forgetIdP(owner idpOwner) {
	g.refreshes.DeletePartialMatch(prometheus.Labels{"namespace": owner.serviceProvider.Namespace, "serviceprovider": owner.serviceProvider.Name, "idp": owner.name})
}
