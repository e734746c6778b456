package server

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests by route. Latency leaves out blocking reads, event
// streams and contents: their length says nothing about the server.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
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
	}
	if err := errors.Join(reg.Register(m.requests), reg.Register(m.seconds)); err != nil {
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
