// Package prometheus offers the metrics of a monitor to the Prometheus client
// library, for programs that use that already:
//
//	prometheus.MustRegister(weirprom.NewCollector(&monitor.Default))
//
// A program that does not use it needs no module beside weir: the handler of
// package monitor has the same metrics in the text format.
package prometheus

import (
	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/weir-go/weir/monitor"
)

// Collector is a [prom.Collector] of the metrics of a [monitor.Monitor]. It is
// unchecked, that is, it describes nothing in advance.
type Collector struct{ m *monitor.Monitor }

// NewCollector returns a Collector of the metrics of m.
func NewCollector(m *monitor.Monitor) *Collector { return &Collector{m} }

// Describe sends nothing: the collector is unchecked.
func (c *Collector) Describe(chan<- *prom.Desc) {}

// Collect sends the metrics of now.
func (c *Collector) Collect(ch chan<- prom.Metric) {
	for _, f := range c.m.Metrics() {
		desc := prom.NewDesc(f.Name, f.Help, f.Labels, nil)
		for _, s := range f.Samples {
			ch <- metric(desc, f, s)
		}
	}
}

// metric returns one series. One that the library refuses becomes an error of the
// scrape.
func metric(desc *prom.Desc, f monitor.Family, s monitor.Sample) prom.Metric {
	var m prom.Metric
	var err error
	switch f.Type {
	case "counter":
		m, err = prom.NewConstMetric(desc, prom.CounterValue, s.Value, s.Labels...)
	case "histogram":
		buckets := make(map[float64]uint64, len(s.Bounds))
		for i, bound := range s.Bounds {
			buckets[bound] = s.Counts[i]
		}
		m, err = prom.NewConstHistogram(desc, s.Count, s.Value, buckets, s.Labels...)
	default:
		m, err = prom.NewConstMetric(desc, prom.GaugeValue, s.Value, s.Labels...)
	}
	if err != nil {
		return prom.NewInvalidMetric(desc, err)
	}
	return m
}
