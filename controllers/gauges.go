package controllers

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// certificateEnd describes the gauge by which people are woken before a certificate ends.
var certificateEnd = prometheus.NewDesc("sso_certificate_not_after_seconds",
	"When a certificate expires that nothing has replaced yet, in Unix seconds. side is idp or sp, sha256 the beginning of the fingerprint.",
	[]string{"namespace", "idp", "side", "sha256"}, nil)

// gauges are what the operator says of the objects themselves: the state of the last pass over each ServiceProvider.
type gauges struct {
	mutex sync.Mutex
	ends  map[types.NamespacedName][]prometheus.Metric
}

func newGauges() *gauges { return &gauges{ends: map[types.NamespacedName][]prometheus.Metric{}} }

// Describe and Collect make it a prometheus.Collector.
func (g *gauges) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- certificateEnd }

// Collect sends what the last passes have found.
func (g *gauges) Collect(metrics chan<- prometheus.Metric) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for _, all := range g.ends {
		for _, metric := range all {
			metrics <- metric
		}
	}
}

// set replaces the certificates of a ServiceProvider's connections; none removes them.
func (g *gauges) set(key types.NamespacedName, certificates []expiring) {
	all := make([]prometheus.Metric, 0, len(certificates))
	for _, c := range certificates {
		all = append(all, prometheus.MustNewConstMetric(certificateEnd, prometheus.GaugeValue, float64(c.notAfter.Unix()), key.Namespace, c.connection, c.side, short(c.sha256)))
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.ends[key] = all; len(all) == 0 {
		delete(g.ends, key)
	}
}
