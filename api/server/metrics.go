package server

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-cluster/holdfast/placement"
)

// metrics counts requests by route. Latency leaves out blocking reads, event
// streams and contents: their length says nothing about the server.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	open     *prometheus.GaugeVec
	refused  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_http_request_seconds", Help: "Time to answer, by route and method.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"route", "method"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_http_open", Help: "Places taken at present of those that are bounded, by kind and port.",
		}, []string{"kind", "port"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_refused_total", Help: "Requests refused because all places of their kind were taken, by kind and port.",
		}, []string{"kind", "port"}),
	}
	if err := errors.Join(reg.Register(m.requests), reg.Register(m.seconds), reg.Register(m.open), reg.Register(m.refused)); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

// begin notes the arrival of a request and returns what notes its end. Paths
// that no route has share one name, so that nobody can make up new series.
func (m *metrics) begin(rt *route, method string) func(status int) {
	start := time.Now()
	path := "other"
	if rt != nil {
		path = rt.path
	} else {
		method = "other"
	}
	return func(status int) {
		m.requests.WithLabelValues(path, method, strconv.Itoa(status)).Inc()
		if rt != nil && !rt.long {
			m.seconds.WithLabelValues(path, method).Observe(time.Since(start).Seconds())
		}
	}
}

// healthCollector tells how many chains are in each health, as of the local
// state at the time of the scrape.
type healthCollector struct {
	desc  *prometheus.Desc
	state State
	tally *tally
}

func newHealthCollector(state State, tally *tally) *healthCollector {
	return &healthCollector{
		desc:  prometheus.NewDesc("holdfast_chains_by_health", "Chains by health, as this node's state has it.", []string{"health"}, nil),
		state: state, tally: tally,
	}
}

// Describe implements prometheus.Collector.
func (c *healthCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector.
func (c *healthCollector) Collect(out chan<- prometheus.Metric) {
	n := c.tally.of(c.state.View())
	for _, one := range []struct {
		health placement.Health
		chains int
	}{
		{placement.HealthHealthy, n.Healthy},
		{placement.HealthUnder, n.Under},
		{placement.HealthOver, n.Over},
		{placement.HealthUnavailable, n.Unavailable},
		{placement.HealthUnplaceable, n.Unplaceable},
		{placement.HealthQuarantined, n.Quarantined},
	} {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(one.chains), string(one.health))
	}
}
