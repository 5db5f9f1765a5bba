// Package metric makes instruments and keeps what was said of each, so that docs/metrics.md is written from the very definitions that the programs register.
package metric

import "github.com/prometheus/client_golang/prometheus"

// Type is the type of a metric, as the text format of Prometheus names it.
type Type string

// The types that we use.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Definition is what people can rely on: names, types and labels are stable.
type Definition struct {
	Name   string
	Type   Type
	Help   string
	Labels []string
}

// Catalogue makes instruments and remembers their definitions in order. The zero value is empty.
type Catalogue struct {
	definitions []Definition
}

// Definitions are those of everything that was made.
func (c *Catalogue) Definitions() []Definition { return c.definitions }

func (c *Catalogue) add(name string, of Type, help string, labels []string) {
	c.definitions = append(c.definitions, Definition{name, of, help, labels})
}

// Counters is a counter with labels.
func (c *Catalogue) Counters(name, help string, labels ...string) *prometheus.CounterVec {
	c.add(name, Counter, help, labels)
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Counter is a counter without labels.
func (c *Catalogue) Counter(name, help string) prometheus.Counter {
	c.add(name, Counter, help, nil)
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// Gauges is a gauge with labels.
func (c *Catalogue) Gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	c.add(name, Gauge, help, labels)
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

// Gauge is a gauge without labels.
func (c *Catalogue) Gauge(name, help string) prometheus.Gauge {
	c.add(name, Gauge, help, nil)
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// GaugeDesc describes a gauge that a collector of its own sends.
func (c *Catalogue) GaugeDesc(name, help string, labels ...string) *prometheus.Desc {
	c.add(name, Gauge, help, labels)
	return prometheus.NewDesc(name, help, labels, nil)
}

// Histograms is a histogram with labels; buckets are upper bounds, in the unit of the name.
func (c *Catalogue) Histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	c.add(name, Histogram, help, labels)
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Histogram is a histogram without labels.
func (c *Catalogue) Histogram(name, help string, buckets []float64) prometheus.Histogram {
	c.add(name, Histogram, help, nil)
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}
