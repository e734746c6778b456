package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

// patchesMax bounds how often a PATCH is merged anew because the configuration
// changed between reading and writing it.
const patchesMax = 5

func (s *Server) addConfigRoutes() {
	handle(s, route{method: http.MethodGet, path: "/v1/config", id: "get-config", summary: "The replicated configuration", kind: read}, s.getConfig)
	handle(s, route{method: http.MethodPut, path: "/v1/config", id: "put-config", summary: "Replace it; what is left out gets its default", kind: write, body: api.Config{}}, s.putConfig)
	handle(s, route{method: http.MethodPatch, path: "/v1/config", id: "patch-config", summary: "Change some keys; null means the default", kind: write, body: api.Config{}}, s.patchConfig)
}

func (s *Server) getConfig(ctx context.Context, _ *ReadParams) (*api.Config, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	return showConfig(exchangeOf(ctx), v), nil
}

func showConfig(x *exchange, v *fsm.View) *api.Config {
	x.w.Header().Set("ETag", quote(uint64(v.ConfigGeneration)))
	return renderConfig(&v.Config)
}

func (s *Server) putConfig(ctx context.Context, _ *WriteParams) (*api.Config, error) {
	x := exchangeOf(ctx)
	generation, _, _, err := x.ifMatch()
	if err != nil {
		return nil, err
	}
	cfg, err := merge(x.body, placement.DefaultConfig())
	if err != nil {
		return nil, err
	}
	if err := s.writeConfig(ctx, x.request, cfg, placement.Generation(generation)); err != nil {
		return nil, err
	}
	return showConfig(x, s.cfg.State.View()), nil
}

// patchConfig merges into the configuration as it is and writes that on
// condition that it still is so. Each try has a key of its own, because the
// refusal of the first is remembered under its key.
func (s *Server) patchConfig(ctx context.Context, _ *WriteParams) (*api.Config, error) {
	x := exchangeOf(ctx)
	generation, _, conditional, err := x.ifMatch()
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		v, err := s.cfg.State.Read(ctx, false)
		if err != nil {
			return nil, err
		}
		cfg, err := merge(x.body, v.Config)
		if err != nil {
			return nil, err
		}
		at := v.ConfigGeneration
		if generation != 0 {
			at = placement.Generation(generation)
		}
		req := fsm.Request{Key: x.request.Key + "/" + strconv.Itoa(try), Hash: x.request.Hash}
		err = s.writeConfig(ctx, req, cfg, at)
		var p *api.Problem
		if errors.As(err, &p) && p.Code == api.StaleGeneration && !conditional && try < patchesMax {
			continue
		}
		if err != nil {
			return nil, err
		}
		return showConfig(x, s.cfg.State.View()), nil
	}
}

// merge reads a JSON object of configuration keys over base. null means the
// default.
func merge(body []byte, base placement.Config) (placement.Config, error) {
	out := renderConfig(&base)
	if err := decodeStrict(body, out, false, new(fieldTable)); err != nil {
		return base, err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil {
		return base, api.InvalidField("body", "the body is not valid JSON: %v", err)
	}
	def := placement.DefaultConfig()
	all, err := json.Marshal(renderConfig(&def))
	if err != nil {
		return base, errorf("encoding the default configuration: %w", err)
	}
	var defaults map[string]json.RawMessage
	if err := json.Unmarshal(all, &defaults); err != nil {
		return base, errorf("reading the default configuration: %w", err)
	}
	for name, value := range keys {
		if string(value) != "null" {
			delete(defaults, name)
		}
	}
	for name := range defaults {
		if _, given := keys[name]; !given {
			delete(defaults, name)
		}
	}
	reset, err := json.Marshal(defaults)
	if err != nil {
		return base, errorf("encoding the defaults: %w", err)
	}
	if err := decodeStrict(reset, out, false, new(fieldTable)); err != nil {
		return base, err
	}
	cfg := readConfig(out)
	if err := cfg.Validate(); err != nil {
		field, _, _ := strings.Cut(err.Error(), ":")
		return cfg, api.InvalidField(field, "%v", err)
	}
	return cfg, nil
}

func (s *Server) writeConfig(ctx context.Context, req fsm.Request, cfg placement.Config, at placement.Generation) error {
	reason, err := exchangeOf(ctx).reasonOf("")
	if err != nil {
		return err
	}
	op := fsm.NewPutConfig(cfg)
	op.IfGeneration = at
	r, err := s.submit(ctx, reason, req, op)
	if err != nil {
		return err
	}
	return refused(r)
}
