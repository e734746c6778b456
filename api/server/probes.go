package server

import (
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-cluster/holdfast/api"
)

// addRoutes adds all routes.
func (s *Server) addRoutes() {
	s.addClusterRoutes()
	s.addNodeRoutes()
	s.addRunnerRoutes()
	s.addChainRoutes()
	s.addHistoryRoutes()
	s.addConfigRoutes()
	s.addContentRoutes()
	s.addOperatorRoutes()
	s.plain(route{method: http.MethodGet, path: "/v1/events", id: "events", summary: "What happens, as server-sent events", long: true}, nil, s.getEvents)
	s.addProbes()
	s.addUnsupported()
	s.addProfiles()
}

// addProbes adds the pages for supervisors and monitoring.
func (s *Server) addProbes() {
	s.plain(route{method: http.MethodGet, path: "/livez", id: "livez", summary: "The process lives"}, nil, func(w http.ResponseWriter, _ *http.Request) error {
		return text(w, "ok\n")
	})
	s.plain(route{method: http.MethodGet, path: "/readyz", id: "readyz", summary: "The log is replayed; with ?leader=1, a leader is known"}, []string{"leader"}, s.getReady)
	metrics := promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{})
	s.plain(route{method: http.MethodGet, path: "/metrics", id: "metrics", summary: "Metrics for Prometheus"}, nil, func(w http.ResponseWriter, r *http.Request) error {
		metrics.ServeHTTP(w, r)
		return nil
	})
}

func (s *Server) getReady(w http.ResponseWriter, r *http.Request) error {
	status := s.cfg.Leadership.Status()
	leader := r.URL.Query().Get("leader")
	switch {
	case leader != "" && leader != "0" && leader != "1":
		return api.InvalidField("leader", "leader: %.40q is neither 0 nor 1", leader)
	case !status.Ready:
		return api.NewProblem(api.NotReady, "the node is still replaying its log")
	case leader == "1" && status.Leader == nil:
		return api.NewProblem(api.NotReady, "the log is replayed, but no leader is known")
	}
	return text(w, "ok\n")
}

func text(w http.ResponseWriter, s string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := fmt.Fprint(w, s)
	return err //nolint:wrapcheck // nobody is left to read it
}

// addUnsupported adds the routes of the contract that do not exist yet: they
// say so, which a plain 404 would not.
func (s *Server) addUnsupported() {
	for _, rt := range []route{
		{method: http.MethodPost, path: "/v1/plan", id: "plan", summary: "What would happen (not yet)"},
		{method: http.MethodPost, path: "/v1/plan/apply", id: "apply-plan", summary: "Make the moves of a plan (not yet)"},
	} {
		s.plain(rt, []string{"consistency", "timeout", "reason", "revision", "wait"}, func(http.ResponseWriter, *http.Request) error {
			return api.NewProblem(api.Unsupported, "%s %s does not exist in this version", rt.method, rt.path)
		})
	}
}

// addProfiles adds the pages of net/http/pprof and the documents that huma
// serves; their parameters are their own business.
func (s *Server) addProfiles() {
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		rt := &route{method: http.MethodGet, path: path, long: true}
		s.routes[rt.pattern()] = rt
		s.mux.HandleFunc(rt.pattern(), h)
	}
	for _, path := range []string{"/openapi.json", "/openapi.yaml", "/openapi-3.0.json", "/openapi-3.0.yaml"} {
		rt := &route{method: http.MethodGet, path: path}
		s.routes[rt.pattern()] = rt
	}
}
