// Package metrics holds every metric of the service provider. Names are stable; docs/metrics.md lists them.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sallyport.dev/sallyport/internal/version"
)

// Metrics are the service provider's instruments.
type Metrics struct {
	registry *prometheus.Registry

	// SignIns counts finished sign-ins by IdP, outcome (success, failure) and reason (the debug log's closed list, empty on success).
	SignIns *prometheus.CounterVec
	// Logouts counts logout messages by IdP, direction (idp, sp) and outcome.
	Logouts *prometheus.CounterVec
	// Checks counts forward-auth checks by endpoint (nginx, forward, envoy, grpc) and result (allowed, unauthenticated, forbidden, unavailable, misconfigured).
	Checks *prometheus.CounterVec
	// Verification is the time that a response takes from body to verdict, without the store.
	Verification prometheus.Histogram
	// Requests is the time of every answer on the public port but forward-auth checks, by route and status class.
	Requests *prometheus.HistogramVec
	// SnapshotErrors counts snapshots that could not be served.
	SnapshotErrors prometheus.Counter
	// Connections counts connections in the snapshot by state (usable, disabled, waiting, broken).
	Connections *prometheus.GaugeVec
	// Snapshot is 1 for the revision that is served.
	Snapshot *prometheus.GaugeVec
	// SnapshotLoaded is when it was taken into service, in Unix seconds.
	SnapshotLoaded prometheus.Gauge
	// StoreUp is 1 when the last ping of the store was answered.
	StoreUp prometheus.Gauge
	// StoreErrors counts operations that failed because the store did not answer, by operation.
	StoreErrors *prometheus.CounterVec
	// ManagementDenied counts management requests without a valid token.
	ManagementDenied prometheus.Counter
	// AuditPending is how many records wait for a sink.
	AuditPending *prometheus.GaugeVec
	// AuditDelivered and AuditFailures count records and failed batches by sink; AuditDeadLetters the records that a sink refused for good.
	AuditDelivered, AuditFailures, AuditDeadLetters *prometheus.CounterVec
	// Denials counts denied accesses that were not recorded one by one because too many came at once.
	DenialsDropped prometheus.Counter
}

// New registers everything in a registry of its own.
func New() *Metrics {
	m := &Metrics{
		registry:         prometheus.NewRegistry(),
		SignIns:          counters("sso_sign_ins_total", "Finished sign-ins.", "idp", "outcome", "reason"),
		Logouts:          counters("sso_logouts_total", "SAML logout messages that were accepted or refused.", "idp", "direction", "outcome"),
		Checks:           counters("sso_checks_total", "Forward-auth checks.", "endpoint", "result"),
		SnapshotErrors:   counter("sso_snapshot_errors_total", "Snapshots that could not be served."),
		Connections:      gauges("sso_connections", "Connections in the snapshot.", "state"),
		Snapshot:         gauges("sso_snapshot_info", "1 for the revision that is served.", "revision"),
		SnapshotLoaded:   gauge("sso_snapshot_loaded_timestamp_seconds", "When the snapshot was taken into service."),
		StoreUp:          gauge("sso_store_up", "1 when the store answered the last ping."),
		StoreErrors:      counters("sso_store_errors_total", "Operations that failed because the store did not answer.", "operation"),
		ManagementDenied: counter("sso_management_denied_total", "Management requests without a valid token."),
		AuditPending:     gauges("sso_audit_pending_records", "Audit records that wait for a sink.", "sink"),
		AuditDelivered:   counters("sso_audit_delivered_records_total", "Audit records that a sink has taken.", "sink"),
		AuditFailures:    counters("sso_audit_delivery_failures_total", "Batches of audit records that a sink did not take.", "sink"),
		AuditDeadLetters: counters("sso_audit_dead_letters_total", "Audit records that a sink refused again and again, and that were passed over.", "sink"),
		DenialsDropped:   counter("sso_access_denials_unrecorded_total", "Denied accesses that were counted but not recorded, because too many came at once."),
		Verification: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sso_response_verification_seconds",
			Help: "Time from the body of a SAML response to the verdict, without the store.", Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, 1}}),
		Requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sso_http_request_seconds", Help: "Time of answers on the public port, without forward-auth checks.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"route", "status"}),
	}
	build := gauges("sso_build_info", "1 for the build that runs.", "version", "commit")
	build.WithLabelValues(version.Version, version.Commit).Set(1)
	m.registry.MustRegister(m.SignIns, m.Logouts, m.Checks, m.Verification, m.Requests, m.SnapshotErrors, m.Connections, m.Snapshot, m.SnapshotLoaded, m.StoreUp, m.StoreErrors,
		m.ManagementDenied, m.AuditPending, m.AuditDelivered, m.AuditFailures, m.AuditDeadLetters, m.DenialsDropped, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// SessionCache adds gauges that are read when they are scraped.
func (m *Metrics) SessionCache(stats func() (sessions int, bytes uint64)) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sso_session_cache_sessions", Help: "Sessions in the cache."}, func() float64 { n, _ := stats(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sso_session_cache_bytes", Help: "Estimated bytes of the session cache."}, func() float64 { _, b := stats(); return float64(b) }))
}

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Gatherer is for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}
