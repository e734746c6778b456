package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Caller is who makes a request, and what he may do.
type Caller struct {
	Name string // the actor of every operation that the request makes
	Role api.Role
}

// anonymous is everybody, where no tokens are asked for.
const anonymous = "anonymous"

// need returns the role that a route needs, or that it is open to all. What
// is not listed is safe by its method: looking needs read, all else operate.
func (r *route) need() (role api.Role, open bool) {
	switch r.pattern() {
	case "GET /livez", "GET /readyz", "GET /metrics",
		"GET /openapi.json", "GET /openapi.yaml", "GET /openapi-3.0.json", "GET /openapi-3.0.yaml":
		return "", true // supervisors and monitoring have no token; the documents are the same everywhere
	case "POST /v1/plan":
		return api.RoleRead, false // it supposes and changes nothing
	case "GET /v1/snapshot", "PUT /v1/snapshot", "POST /v1/snapshot/release", "POST /v1/raft/transfer",
		"DELETE /v1/nodes/{id}/orphans/{chain}":
		return api.RoleAdmin, false // so does DELETE /v1/nodes/{id} with allow_data_loss: see removeNode
	}
	switch {
	case strings.HasPrefix(r.path, "/ui"):
		return "", true // the page is static, and asks for the token that its calls need
	case strings.HasPrefix(r.path, "/debug/"):
		return api.RoleAdmin, false // profiles show memory
	case r.method == http.MethodGet:
		return api.RoleRead, false
	}
	return api.RoleOperate, false
}

type peerKey struct{}

// Peers returns the handler for the port that only nodes reach: it believes
// what the headers of a request that was passed on say of its caller. On any
// other port those headers mean nothing.
func (s *Server) Peers() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, true)))
	})
}

func fromPeer(r *http.Request) bool { return r.Context().Value(peerKey{}) != nil }

// admit finds out who makes a request and refuses it unless he may.
func (s *Server) admit(x *exchange) *api.Problem {
	role, open := x.route.need()
	if open {
		x.caller.Name = anonymous
		return nil
	}
	if p := s.identify(x); p != nil {
		x.w.Header().Set("WWW-Authenticate", "Bearer")
		return p
	}
	if p := x.require(role, x.route.pattern()); p != nil {
		return p
	}
	if x.route.nodes && !fromPeer(x.r) && x.r.Context().Value(exchangeKey{}) == nil {
		return api.NewProblem(api.Forbidden, "%s is for nodes: a client has no use for it", x.route.pattern())
	}
	return nil
}

// identify sets the caller: whom this server itself makes the request for (as
// Content does when it commits), whom a node vouches for, or whose the token is.
func (s *Server) identify(x *exchange) *api.Problem {
	if outer, ok := x.r.Context().Value(exchangeKey{}).(*exchange); ok && outer.server == s && outer != x {
		x.caller = outer.caller
		if token := outer.r.Header.Get("Authorization"); token != "" {
			x.r.Header.Set("Authorization", token) // for a leader that asks for one, where this node does not
		}
		return nil
	}
	if role := api.Role(x.r.Header.Get(api.HeaderRole)); fromPeer(x.r) && role.Covers(api.RoleRead) {
		x.caller = Caller{x.r.Header.Get(api.HeaderActor), role}
		return nil
	}
	if s.cfg.Authenticate == nil {
		x.caller = Caller{anonymous, api.RoleAdmin}
		return nil
	}
	header := x.r.Header.Get("Authorization")
	if header == "" {
		return api.NewProblem(api.Unauthorized, "the request has no token: send it as Authorization: Bearer TOKEN (HOLDFAST_TOKEN on the command line)")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return api.NewProblem(api.Unauthorized, "the Authorization header is not of the form Bearer TOKEN")
	}
	caller, known := s.cfg.Authenticate(strings.TrimSpace(token))
	if !known {
		return api.NewProblem(api.Unauthorized, "node %s does not know the token: it was revoked or mistyped", s.cfg.Leadership.Status().Node)
	}
	x.caller = caller
	return nil
}

// require refuses a caller whose role is not enough for what he does.
func (x *exchange) require(role api.Role, what string) *api.Problem {
	if x.caller.Role.Covers(role) {
		return nil
	}
	return api.NewProblem(api.Forbidden, "%s needs the role %s; %s has %s", what, role, x.caller.Name, x.caller.Role)
}

// vouch writes into a request that is passed on who made it. A node that asks
// for no tokens vouches for nobody: what the client sent is passed on, and the
// leader judges it. Else the token stays here, and the leader need not know it.
func (s *Server) vouch(h http.Header, x *exchange, self placement.NodeID) {
	h.Set(api.HeaderForwarded, string(self))
	h.Del(api.HeaderActor)
	h.Del(api.HeaderRole)
	if s.cfg.Authenticate == nil {
		if token := x.r.Header.Get("Authorization"); token != "" {
			h.Set("Authorization", token)
		}
		return
	}
	h.Del("Authorization")
	h.Set(api.HeaderActor, x.caller.Name)
	h.Set(api.HeaderRole, string(x.caller.Role))
}
