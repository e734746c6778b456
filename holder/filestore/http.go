package filestore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Paths of content on the node port.
const (
	contentPath = "/pull/v1/chains/{chain}/content"
	versionPath = contentPath + "/{sha256}"
	checkQuery  = "check" // of a GET: the bytes are compared with the hash
)

func contentURL(address string, chain placement.ChainID, sha string, query url.Values) string {
	u := url.URL{Scheme: "http", Host: address, Path: "/pull/v1/chains/" + string(chain) + "/content", RawQuery: query.Encode()}
	if sha != "" {
		u.Path += "/" + sha
	}
	return u.String()
}

// problem is the body of a refusal.
type problem struct {
	Code   placement.Code `json:"code"`
	Detail string         `json:"detail"`
}

// Handler serves content to the other nodes:
//
//	GET    /pull/v1/chains/{chain}/content/{sha256}[?check=1]       the bytes; Range and ETag; OpenToServe
//	PUT    /pull/v1/chains/{chain}/content?epoch=&base=[&sha256=]   Receive; answers Stored
//	DELETE /pull/v1/chains/{chain}/content/{sha256}?epoch=&ticket=  Abandon
//
// It asks for no credentials: serve it on the node port only.
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+versionPath, s.serveGet)
	mux.HandleFunc("PUT "+contentPath, s.servePut)
	mux.HandleFunc("DELETE "+versionPath, s.serveDelete)
	return mux
}

func (s *Store) serveGet(w http.ResponseWriter, r *http.Request) {
	sha := r.PathValue("sha256")
	open := s.OpenToServe
	if r.URL.Query().Get(checkQuery) == "" {
		open = s.Open // who pulls compares the hash
	}
	f, _, err := open(placement.ChainID(r.PathValue("chain")), sha)
	if err != nil {
		refuse(w, err)
		return
	}
	defer f.Close()
	w.Header().Set("ETag", `"`+sha+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
}

func (s *Store) servePut(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	epoch, err := strconv.ParseUint(query.Get("epoch"), 10, 64)
	if err != nil {
		refuse(w, fmt.Errorf("epoch: %q is no number: %w", query.Get("epoch"), ErrMismatch))
		return
	}
	base, err := strconv.ParseUint(query.Get("base"), 10, 64)
	if err != nil {
		refuse(w, fmt.Errorf("base: %q is no number: %w", query.Get("base"), ErrMismatch))
		return
	}
	if r.ContentLength < 0 {
		answer(w, http.StatusLengthRequired, problem{placement.Invalid, "content needs a Content-Length"})
		return
	}
	stored, err := s.Receive(r.Context(), Upload{
		Chain: placement.ChainID(r.PathValue("chain")), Epoch: placement.Epoch(epoch), Base: placement.Revision(base),
		Size: r.ContentLength, SHA256: query.Get("sha256"),
	}, deadlineReader{r.Body, http.NewResponseController(w), s.cfg.StallAfter})
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, stored)
}

// deadlineReader gives up a sender that sends nothing for a while.
type deadlineReader struct {
	body    io.Reader
	control *http.ResponseController
	limit   time.Duration
}

func (d deadlineReader) Read(b []byte) (int, error) {
	// Where deadlines are not supported, the connection's own end is waited for.
	if err := d.control.SetReadDeadline(time.Now().Add(d.limit)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return d.body.Read(b)
}

func (s *Store) serveDelete(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	epoch, err := strconv.ParseUint(query.Get("epoch"), 10, 64)
	if err != nil {
		refuse(w, fmt.Errorf("epoch: %q is no number: %w", query.Get("epoch"), ErrMismatch))
		return
	}
	err = s.Abandon(r.Context(), placement.ChainID(r.PathValue("chain")), placement.Epoch(epoch), r.PathValue("sha256"), query.Get("ticket"))
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// refuse answers an error with its code and status.
func refuse(w http.ResponseWriter, err error) {
	status, code := http.StatusInternalServerError, placement.NotReady
	switch {
	case errors.Is(err, holder.ErrNoSpace):
		status, code = http.StatusInsufficientStorage, placement.NoSpace
	case errors.Is(err, ErrNotHolder):
		status, code = http.StatusConflict, placement.NotHolder
	case errors.Is(err, ErrMismatch):
		status, code = http.StatusBadRequest, placement.Invalid
	case errors.Is(err, os.ErrNotExist):
		status, code = http.StatusNotFound, placement.NoLiveCopy
	}
	answer(w, status, problem{code, err.Error()})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the other end is gone: nobody to tell
}
