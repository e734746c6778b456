package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/holdfast-cluster/holdfast/holder"
	"github.com/holdfast-cluster/holdfast/placement"
)

// Client speaks to the Handler of other nodes. It is a [Fetcher].
type Client struct {
	// HTTP dials node ports. It must set no overall timeout: content may take
	// hours; contexts bound the calls. With an ExpectContinueTimeout in its
	// transport a refused upload costs no bytes.
	HTTP *http.Client
	// Check has the other node compare what it sends with the hash, for a
	// reader that does not.
	Check bool
}

var _ Fetcher = Client{}

// Fetch opens content on another node; see [Fetcher].
func (c Client) Fetch(ctx context.Context, src holder.Source, chain placement.ChainID, sha256 string, offsetBytes int64) (io.ReadCloser, int64, error) {
	query := url.Values{}
	if c.Check {
		query.Set(checkQuery, "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, contentURL(src.Address, chain, sha256, query), http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	want := http.StatusOK
	if offsetBytes > 0 {
		want = http.StatusPartialContent
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offsetBytes))
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != want {
		defer resp.Body.Close()
		return nil, 0, refusal(resp)
	}
	size := resp.ContentLength
	if offsetBytes > 0 {
		size, err = wholeSize(resp.Header.Get("Content-Range"), offsetBytes)
	}
	if err == nil && size < 0 {
		err = errors.New("the answer has no length")
	}
	if err != nil {
		resp.Body.Close()
		return nil, 0, err
	}
	return resp.Body, size, nil
}

// wholeSize reads "bytes offset-end/size".
func wholeSize(contentRange string, offset int64) (int64, error) {
	rest, ok := strings.CutPrefix(contentRange, fmt.Sprintf("bytes %d-", offset))
	_, size, found := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if !ok || !found || err != nil {
		return 0, fmt.Errorf("the answer has the range %q, asked for from byte %d", contentRange, offset)
	}
	return n, nil
}

// Store sends the bytes of an upload to the disk of the node at address.
func (c Client) Store(ctx context.Context, address string, u Upload, body io.Reader) (Stored, error) {
	query := url.Values{"epoch": {strconv.FormatUint(uint64(u.Epoch), 10)}, "base": {strconv.FormatUint(uint64(u.Base), 10)}}
	if u.SHA256 != "" {
		query.Set("sha256", u.SHA256)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, contentURL(address, u.Chain, "", query), body)
	if err != nil {
		return Stored{}, err
	}
	if req.ContentLength = u.Size; u.Size == 0 {
		req.Body = http.NoBody
	}
	req.Header.Set("Expect", "100-continue") // a refusal comes before the bytes go
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Stored{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Stored{}, refusal(resp)
	}
	var stored Stored
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&stored); err != nil {
		return Stored{}, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return stored, nil
}

// Abandon takes back what Store stored on the node at address.
func (c Client) Abandon(ctx context.Context, address string, chain placement.ChainID, stored Stored) error {
	query := url.Values{"epoch": {strconv.FormatUint(uint64(stored.Epoch), 10)}, "ticket": {stored.Ticket}}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, contentURL(address, chain, stored.SHA256, query), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return refusal(resp)
	}
	return nil
}

// refusal turns an answer into the error that the other node had.
func refusal(resp *http.Response) error {
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&p); err != nil || p.Code == "" {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	kind := map[placement.Code]error{
		placement.NoSpace: holder.ErrNoSpace, placement.NotHolder: ErrNotHolder,
		placement.Invalid: ErrMismatch, placement.NoLiveCopy: os.ErrNotExist,
	}[p.Code]
	return remoteError{p.Detail, kind}
}

// remoteError has the other node's words, and the kind that errors.Is finds.
type remoteError struct {
	text string
	kind error
}

// Error returns the other node's words.
func (e remoteError) Error() string { return e.text }

// Unwrap returns the kind of the error, or nil.
func (e remoteError) Unwrap() error { return e.kind }
