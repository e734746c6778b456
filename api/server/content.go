package server

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/fsm"
	"github.com/holdfast-cluster/holdfast/placement"
)

func (s *Server) addContentRoutes() {
	path := "/v1/chains/{id}/content"
	s.plain(route{method: http.MethodGet, path: path, id: "get-content", summary: "The bytes of a chain", long: true},
		[]string{"consistency", "timeout", "revision", "wait"}, s.getContent)
	s.plain(route{method: http.MethodPut, path: path, id: "put-content", summary: "Store the bytes of a chain", long: true},
		[]string{"timeout", "reason"}, s.putContent)
	handle(s, route{method: http.MethodPost, path: path + "/commit", id: "commit-content", summary: "Make bytes that holders have stored current: for nodes only", kind: write, nodes: true, body: api.ContentCommit{}}, s.commitContent)
}

// putContent hands the body on as it comes: it may be larger than memory.
func (s *Server) putContent(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	cfg := s.cfg.State.View().Config
	write, err := s.contentWrite(x, r)
	switch {
	case err != nil:
		return err
	case s.cfg.Content == nil:
		return api.NewProblem(api.Unsupported, "this node stores no content: its runner is external")
	case r.ContentLength < 0:
		return api.NewProblem(api.LengthRequired, "a content needs its Content-Length")
	case r.ContentLength > cfg.ContentSizeMax:
		return api.NewProblem(api.TooLarge, "the content has %d bytes, content_size_max is %d", r.ContentLength, cfg.ContentSizeMax)
	}
	out, err := s.cfg.Content.Put(r.Context(), write, s.paced(w, r))
	if err != nil {
		s.limitBody(w, r)
		return err //nolint:wrapcheck // it is put into words by problem
	}
	if out.Holders == nil {
		out.Holders = []string{}
	}
	w.Header().Set("ETag", `"`+out.SHA256+`"`)
	s.stamp(x, s.cfg.State.View())
	writeJSON(w, http.StatusOK, "application/json", out)
	return nil
}

func (s *Server) contentWrite(x *exchange, r *http.Request) (ContentWrite, error) {
	out := ContentWrite{Size: r.ContentLength, Actor: actor(r.Context()), Timeout: x.timeout}
	var err error
	if out.Chain, err = chainID("id", r.PathValue("id")); err != nil {
		return out, err
	}
	if out.Reason, err = x.reasonOf(""); err != nil {
		return out, err
	}
	if p := x.readKey(); p != nil {
		return out, p
	}
	out.Key = x.request.Key
	if match := r.Header.Get("If-Match"); match != "" {
		sum, quoted := unquote(match)
		if !quoted || !sha256Form.MatchString(sum) {
			return out, api.InvalidField("If-Match", "If-Match: %.80q is not a quoted SHA-256 in lower-case hexadecimal", match)
		}
		out.IfMatch = sum
	}
	out.First, err = x.createOnly()
	if err == nil && out.First && out.IfMatch != "" {
		err = api.InvalidField("If-None-Match", "If-None-Match: * and an If-Match contradict each other")
	}
	return out, err
}

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

// commitContent makes bytes current that are on the disks of the holders
// named. Its request is that of the PUT which stored them: a retried PUT may
// have stored them elsewhere and is still the same request.
func (s *Server) commitContent(ctx context.Context, in *chainWrite) (*api.ContentPut, error) {
	x := exchangeOf(ctx)
	id, err := chainID("id", in.ID)
	if err != nil {
		return nil, err
	}
	var body api.ContentCommit
	if err := x.decode(&body, false); err != nil {
		return nil, err
	}
	if !sha256Form.MatchString(body.SHA256) {
		return nil, api.InvalidField("sha256", "sha256: %.80q is not a SHA-256 in lower-case hexadecimal", body.SHA256)
	}
	op := &fsm.CommitContent{Chain: id, Base: placement.Revision(body.Base), SHA256: body.SHA256, Size: body.Size}
	out := &api.ContentPut{SHA256: body.SHA256, Size: body.Size, Holders: []string{}}
	for _, h := range body.Holders {
		node, err := nodeID("holders", h.Node)
		if err != nil {
			return nil, err
		}
		op.Holders = append(op.Holders, fsm.StoredCopy{Node: node, Incarnation: placement.Incarnation(h.Incarnation), Epoch: placement.Epoch(h.Epoch)})
	}
	reason, err := x.reasonOf("")
	if err != nil {
		return nil, err
	}
	x.request.Hash = requestHash(http.MethodPut, strings.TrimSuffix(x.r.URL.Path, "/commit"), []byte(body.SHA256))
	r, err := s.propose(ctx, reason, op)
	if err != nil {
		return nil, err
	}
	c := r.Chain
	if c == nil {
		c = s.cfg.State.View().Chain(id)
	}
	if c != nil && c.Content != nil && c.Content.SHA256 == body.SHA256 {
		out.Version = uint64(c.Content.Version)
		out.Holders = storedOn(c)
	}
	return out, nil
}

// storedOn names the nodes that had the content on disk when c was written. A
// repeated request is answered from the chain that the first one left, so that
// it names the same nodes, wherever its own bytes went (rule S20).
func storedOn(c *placement.Chain) []string {
	out := []string{}
	for i := range c.Holders {
		h := &c.Holders[i]
		if h.Phase == placement.Ready && !h.Lost && !h.Unconfirmed && h.SHA256 == c.SHA256() {
			out = append(out, string(h.Node))
		}
	}
	return out
}

// getContent serves exactly the version that the state names at the read's
// consistency (rule S3).
func (s *Server) getContent(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	id, err := chainID("id", r.PathValue("id"))
	if err != nil {
		return err
	}
	if s.cfg.Content == nil {
		return api.NewProblem(api.Unsupported, "this node serves no content: its runner is external")
	}
	v, err := s.catchUp(x)
	if err != nil {
		return err
	}
	s.stamp(x, v)
	c := v.Chain(id)
	switch {
	case c == nil:
		return unknownChain(id)
	case c.Content == nil:
		return api.NewProblem(api.NoLiveCopy, "chain %s has no content yet", id)
	}
	read := ContentRead{Chain: id, Content: *c.Content, Sources: liveSources(v, c), Length: c.Content.Size}
	if len(read.Sources) == 0 {
		return api.NewProblem(api.NoLiveCopy, "no node with a live copy of chain %s is reachable", id)
	}
	return s.sendContent(w, r, read)
}

// liveSources returns the nodes with a live copy, in node order.
func liveSources(v *fsm.View, c *placement.Chain) []fsm.Source {
	var out []fsm.Source
	for i := range c.Holders {
		if h := &c.Holders[i]; v.Live(c, h) {
			out = append(out, fsm.Source{Node: h.Node, Address: v.Node(h.Node).Addresses.Node})
		}
	}
	return out
}

func (s *Server) sendContent(w http.ResponseWriter, r *http.Request, read ContentRead) error {
	etag := `"` + read.Content.SHA256 + `"`
	h := w.Header()
	h.Set("ETag", etag)
	h.Set("Accept-Ranges", "bytes")
	if none := r.Header.Get("If-None-Match"); none == etag || none == "*" {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	status := http.StatusOK
	if text := r.Header.Get("Range"); text != "" && (r.Header.Get("If-Range") == "" || r.Header.Get("If-Range") == etag) {
		offset, length, ok, err := byteRange(text, read.Content.Size)
		if err != nil {
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(read.Content.Size, 10))
			return err
		}
		if ok {
			status, read.Offset, read.Length = http.StatusPartialContent, offset, length
			h.Set("Content-Range", errorf("bytes %d-%d/%d", offset, offset+length-1, read.Content.Size).Error())
		}
	}
	var body io.ReadCloser = http.NoBody
	if r.Method != http.MethodHead && read.Length > 0 {
		var err error
		if body, err = s.cfg.Content.Open(r.Context(), read); err != nil {
			return err //nolint:wrapcheck // it is put into words by problem
		}
	}
	defer body.Close()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(read.Length, 10))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	if n, err := io.Copy(w, body); err != nil || n != read.Length {
		panic(http.ErrAbortHandler) // the status is out: only a broken connection says that this is not all
	}
	return nil
}

// byteRange reads a Range header with one range. Several ranges, or another
// unit, may be ignored (RFC 9110, 14.2): ok is false.
func byteRange(text string, size int64) (offset, length int64, ok bool, err error) {
	spec, isBytes := strings.CutPrefix(text, "bytes=")
	first, last, dashed := strings.Cut(strings.TrimSpace(spec), "-")
	if !isBytes || !dashed || strings.Contains(spec, ",") {
		return 0, 0, false, nil
	}
	from, fromErr := strconv.ParseInt(first, 10, 64)
	to, toErr := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && toErr == nil && to > 0: // the last bytes
		from, to = max(size-to, 0), size-1
	case fromErr != nil || from < 0 || last != "" && (toErr != nil || to < from):
		return 0, 0, false, nil
	case last == "" || to >= size:
		to = size - 1
	}
	if from >= size {
		return 0, 0, false, api.NewProblem(api.RangeUnsatisfiable, "the range %.60q lies outside the %d bytes", text, size)
	}
	return from, to - from + 1, true, nil
}
