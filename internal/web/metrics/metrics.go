// Package metrics holds every metric of the service provider. Names are stable; docs/metrics.md lists them.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/metric"
	"sallyport.dev/sallyport/internal/version"
)

// Metrics are the service provider's instruments.
type Metrics struct {
	registry  *prometheus.Registry
	catalogue metric.Catalogue

	// SignIns counts finished sign-ins by IdP, outcome (success, failure) and reason (the debug log's closed list, empty on success).
	SignIns *prometheus.CounterVec
	// BreakGlassUses counts uses of break-glass links by outcome (success, failure) and reason (empty on success).
	BreakGlassUses *prometheus.CounterVec
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
	// storeErrors counts operations that failed because the store did not answer: see StoreFailed.
	storeErrors *prometheus.CounterVec
	// storeOperations is the time of an operation of the store, whatever came of it: see Store.
	storeOperations *prometheus.HistogramVec
	// ManagementDenied counts management requests without a valid token.
	ManagementDenied prometheus.Counter
	// AuditPending is how many records wait for a sink.
	AuditPending *prometheus.GaugeVec
	// AuditOldest is the age of the oldest of them when it was last looked at, in seconds; 0 when none waits.
	AuditOldest *prometheus.GaugeVec
	// AuditDelivered and AuditFailures count records and failed batches by sink; AuditDeadLetters the records that a sink refused for good.
	AuditDelivered, AuditFailures, AuditDeadLetters *prometheus.CounterVec
	// RefusalsCounted counts refusals that were not recorded one by one.
	RefusalsCounted prometheus.Counter
	// Denials counts denied accesses that were not recorded one by one because too many came at once.
	DenialsDropped prometheus.Counter
}

// verificationBuckets, requestBuckets and storeBuckets are upper bounds in seconds.
var (
	verificationBuckets = []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, 1}
	requestBuckets      = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	storeBuckets        = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
)

// New registers everything in a registry of its own.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	c := &m.catalogue
	m.SignIns = c.Counters("sso_sign_ins_total", "Finished sign-ins by outcome (success, failure); reason is one of the debug log's closed list, and empty on success.", "idp", "outcome", "reason")
	m.BreakGlassUses = c.Counters("sso_break_glass_uses_total", "Uses of break-glass links by outcome (success, failure); reason is one of the debug log's closed list, and empty on success.", "outcome", "reason")
	m.BreakGlassUses.WithLabelValues("success", "")
	for _, reason := range provision.BreakGlassReasons() {
		m.BreakGlassUses.WithLabelValues("failure", string(reason)) // from 0, as below
	}
	m.Logouts = c.Counters("sso_logouts_total", "SAML logout messages that were accepted or refused.", "idp", "direction", "outcome")
	m.Checks = c.Counters("sso_checks_total", "Forward-auth checks.", "endpoint", "result")
	m.Verification = c.Histogram("sso_response_verification_duration_seconds", "Time from the body of a SAML response to the verdict, without the store.", verificationBuckets)
	m.Requests = c.Histograms("sso_http_request_duration_seconds", "Time of answers on the public port, without forward-auth checks.", requestBuckets, "route", "status")
	m.Snapshot = c.Gauges("sso_snapshot_info", "1 for the revision that is served.", "revision")
	m.SnapshotLoaded = c.Gauge("sso_snapshot_loaded_timestamp_seconds", "When the snapshot was taken into service.")
	m.SnapshotErrors = c.Counter("sso_snapshot_errors_total", "Snapshots that could not be served.")
	m.Connections = c.Gauges("sso_connections", "Connections in the snapshot.", "state")
	m.StoreUp = c.Gauge("sso_store_up", "1 when the store answered the last ping.")
	m.storeOperations = c.Histograms("sso_store_operation_duration_seconds", "Time of an operation of the store, with its failures: "+listed(measured)+". transaction is what signs somebody in.",
		storeBuckets, "operation")
	m.storeErrors = c.Counters("sso_store_errors_total", "Operations that failed because the store did not answer: "+listed(failing)+".", "operation")
	for _, o := range failing {
		m.storeErrors.WithLabelValues(o.name) // from 0, so that the first failure is an increase
	}
	m.ManagementDenied = c.Counter("sso_management_denied_total", "Management requests without a valid token.")
	m.AuditPending = c.Gauges("sso_audit_pending_records", "Audit records that wait for a sink.", "sink")
	m.AuditOldest = c.Gauges("sso_audit_oldest_pending_seconds", "Age of the oldest audit record that waits for a sink, looked at once a minute at least; 0 when none waits.", "sink")
	m.AuditDelivered = c.Counters("sso_audit_delivered_records_total", "Audit records that a sink has taken.", "sink")
	m.AuditFailures = c.Counters("sso_audit_delivery_failures_total", "Batches of audit records that a sink did not take.", "sink")
	m.AuditDeadLetters = c.Counters("sso_audit_dead_letters_total", "Audit records that a sink refused again and again, and that were passed over.", "sink")
	m.RefusalsCounted = c.Counter("sso_refusals_unrecorded_total", "Refusals that were counted instead of recorded one by one, because strangers caused too many like them or the store did not take them.")
	m.DenialsDropped = c.Counter("sso_access_denials_unrecorded_total", "Denied accesses that were counted but not recorded, because too many came at once.")
	build := c.Gauges("sso_build_info", "1 for the build that runs.", "version", "commit")
	build.WithLabelValues(version.Version, version.Commit).Set(1)
	m.registry.MustRegister(m.SignIns, m.BreakGlassUses, m.Logouts, m.Checks, m.Verification, m.Requests, m.SnapshotErrors, m.Connections, m.Snapshot, m.SnapshotLoaded, m.StoreUp, m.storeOperations, m.storeErrors,
		m.ManagementDenied, m.AuditPending, m.AuditOldest, m.AuditDelivered, m.AuditFailures, m.AuditDeadLetters, m.RefusalsCounted, m.DenialsDropped, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Definitions are those of everything but the runtime's own, for the documentation.
func (m *Metrics) Definitions() []metric.Definition { return m.catalogue.Definitions() }

// Sink makes the counters of a sink known at 0, so that the first failure is an increase.
func (m *Metrics) Sink(name string) {
	for _, c := range []*prometheus.CounterVec{m.AuditDelivered, m.AuditFailures, m.AuditDeadLetters} {
		c.WithLabelValues(name)
	}
}

// ForgetSink removes a sink's gauges and counters.
func (m *Metrics) ForgetSink(name string) {
	m.AuditPending.DeleteLabelValues(name)
	m.AuditOldest.DeleteLabelValues(name)
	for _, c := range []*prometheus.CounterVec{m.AuditDelivered, m.AuditFailures, m.AuditDeadLetters} {
		c.DeleteLabelValues(name)
	}
}

// SessionCache adds gauges that are read when they are scraped.
func (m *Metrics) SessionCache(stats func() (sessions int, bytes uint64)) {
	m.registry.MustRegister(&sessionCache{stats: stats,
		sessions: m.catalogue.GaugeDesc("sso_session_cache_sessions", "Sessions in the cache."), bytes: m.catalogue.GaugeDesc("sso_session_cache_bytes", "Estimated bytes of the session cache.")})
}

type sessionCache struct {
	stats           func() (sessions int, bytes uint64)
	sessions, bytes *prometheus.Desc
}

func (c *sessionCache) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- c.sessions
	descriptions <- c.bytes
}

func (c *sessionCache) Collect(metrics chan<- prometheus.Metric) {
	sessions, bytes := c.stats()
	metrics <- prometheus.MustNewConstMetric(c.sessions, prometheus.GaugeValue, float64(sessions))
	metrics <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(bytes))
}

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
