package server

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/holdfast-cluster/holdfast/api"
)

// kind says where a route is answered.
type kind int

const (
	local      kind = iota // by the node asked
	read                   // as ?consistency= says
	leaderOnly             // by the leader
	write                  // by the leader, under an idempotency key
)

// route is one method on one path.
type route struct {
	method  string
	path    string
	id      string // name in the OpenAPI document
	summary string
	kind    kind
	stale   bool // the default consistency is stale
	nodes   bool // it is for nodes: a client is refused
	long    bool // an answer may take as long as it likes
	body    any  // a value of the type of its JSON body, nil = none
	bodyMax int64
	query   map[string]bool // the parameters it knows; nil = not checked
}

func (r *route) pattern() string { return r.method + " " + r.path }

// newAPI returns an API that speaks JSON only and serves /openapi.json, but no
// page that would load scripts from another host.
func newAPI(mux *http.ServeMux, version string) huma.API {
	cfg := huma.DefaultConfig("Holdfast", version)
	cfg.DocsPath, cfg.SchemasPath = "", ""
	cfg.CreateHooks = nil // they add $schema to every answer
	reg := cfg.Components.Schemas
	reg.RegisterTypeAlias(reflect.TypeFor[api.ClusterTime](), reflect.TypeFor[*float64]())
	reg.RegisterTypeAlias(reflect.TypeFor[api.Seconds](), reflect.TypeFor[float64]())
	reg.RegisterTypeAlias(reflect.TypeFor[api.Duration](), reflect.TypeFor[string]())
	reg.RegisterTypeAlias(reflect.TypeFor[api.NullString](), reflect.TypeFor[*string]())
	return humago.New(mux, cfg)
}

// answer is what the JSON handlers hand to huma.
type answer[O any] struct {
	Status int
	Body   *O
}

// handle adds a JSON route. The input's fields are its path and query
// parameters, as strings: the handlers read them strictly themselves, so that
// every refusal names its field in our words.
func handle[I, O any](s *Server, rt route, h func(context.Context, *I) (*O, error)) {
	rt.query = queryNames(reflect.TypeFor[I]())
	s.routes[rt.pattern()] = &rt
	errorDoc := &huma.Response{
		Description: "a problem with a code",
		Content:     map[string]*huma.MediaType{api.ProblemType: {Schema: s.schema(api.Problem{})}},
	}
	huma.Register(s.api, huma.Operation{
		OperationID: rt.id, Method: rt.method, Path: rt.path, Summary: rt.summary,
		SkipValidateParams: true,
		Responses:          map[string]*huma.Response{"default": errorDoc},
	}, func(ctx context.Context, in *I) (*answer[O], error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &answer[O]{exchangeOf(ctx).status, out}, nil
	})
	s.documentBody(&rt)
}

// documentBody adds the shape of the body to the OpenAPI document. It is not
// given to huma at registration because the middleware has read the body.
func (s *Server) documentBody(rt *route) {
	if rt.body == nil {
		return
	}
	item := s.api.OpenAPI().Paths[rt.path]
	for _, op := range []*huma.Operation{item.Put, item.Post, item.Patch, item.Delete} {
		if op != nil && op.Method == rt.method {
			op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: s.schema(rt.body)}}}
		}
	}
}

func (s *Server) schema(of any) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(of), true, "")
}

// plain adds a route that writes its answer itself.
func (s *Server) plain(rt route, params []string, h func(http.ResponseWriter, *http.Request) error) {
	rt.query = map[string]bool{}
	op := &huma.Operation{
		OperationID: rt.id, Method: rt.method, Path: rt.path, Summary: rt.summary,
		Responses: map[string]*huma.Response{"default": {Description: rt.summary}},
	}
	for _, p := range params {
		rt.query[p] = true
		op.Parameters = append(op.Parameters, &huma.Param{Name: p, In: "query", Schema: &huma.Schema{Type: "string"}})
	}
	if strings.Contains(rt.path, "{id}") {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}})
	}
	s.routes[rt.pattern()] = &rt
	s.api.OpenAPI().AddOperation(op)
	s.mux.HandleFunc(rt.pattern(), func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.writeProblem(w, s.problem(r.Context(), err).Problem)
		}
	})
}

// queryNames returns the query parameters that an input type declares.
func queryNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("query"); name != "" {
			names[name] = true
		}
	}
	return names
}

// ReadParams are the parameters that every read takes.
type ReadParams struct {
	Consistency string `query:"consistency" enum:"stale,leader,linearizable" doc:"whose state is read; default leader"`
	Revision    string `query:"revision" doc:"wait until the state is newer than this revision"`
	Wait        string `query:"wait" doc:"how long to wait at most, such as 30s"`
	Timeout     string `query:"timeout" doc:"how long to wait for a leader; default 5s"`
}

// WriteParams are the parameters that every write takes.
type WriteParams struct {
	Timeout string `query:"timeout" doc:"how long to wait for a leader and the commit; default 5s"`
	Reason  string `query:"reason" doc:"why; the body's reason goes before it"`
}

// PageParams are the parameters of lists.
type PageParams struct {
	After string `query:"after" doc:"next of the page before"`
	Limit string `query:"limit" doc:"1 to 1000, default 100"`
}

// IDParam names one chain or node.
type IDParam struct {
	ID string `path:"id"`
}
