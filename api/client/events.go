package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/holdfast-cluster/holdfast/api"
)

// eventBytesMax bounds one line of an event stream, and the data of one event.
const eventBytesMax = 4 << 20

// Event is one event of the stream.
type Event struct {
	ID   string          // "<lineage>-<revision>"; resume after it
	Kind string          // [api.EventDecision] and the like
	Data json.RawMessage // the object as the API shows it, an [api.Change] if it is gone, an [api.Reset]
}

// Events follows the event stream of any node, after the event with the id
// given, or from now on when it is empty. It reconnects by itself and misses
// nothing, unless it yields an event of kind reset: then list again. It ends
// when ctx does, when the loop over it does, or with an error that no retry
// would mend.
func (c *Client) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		backoff := backoffMin
		for {
			before := after
			err := c.eventStream(ctx, &after, yield)
			switch {
			case err == nil:
				return // the loop was left
			case ctx.Err() != nil || !again(err):
				yield(Event{}, err)
				return
			}
			if after != before {
				backoff = backoffMin
			}
			if !sleep(ctx, backoff) {
				yield(Event{}, ended(ctx, err))
				return
			}
			backoff = min(2*backoff, backoffMax)
		}
	}
}

// eventStream yields the events of one connection and keeps after at the last
// of them. It answers nil when the loop was left.
func (c *Client) eventStream(ctx context.Context, after *string, yield func(Event, error) bool) error {
	k := newCall(http.MethodGet, "/v1/events", nil)
	k.header.Set("Accept", "text/event-stream")
	if *after != "" {
		k.header.Set(api.HeaderLastEventID, *after)
	}
	resp, err := c.stream(ctx, k, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, eventBytesMax)
	var e Event
	for lines.Scan() {
		if len(lines.Bytes()) > 0 {
			if e.field(lines.Bytes()); len(e.Data) > eventBytesMax {
				return fmt.Errorf("an event of more than %d bytes: that is no node of Holdfast", eventBytesMax)
			}
			continue
		}
		if e.ID != "" {
			*after = e.ID
		}
		if e.Kind != "" && !yield(e, nil) {
			return nil
		}
		e = Event{}
	}
	if err := lines.Err(); err != nil {
		return &unanswered{fmt.Errorf("reading the events: %w", err)}
	}
	return &unanswered{fmt.Errorf("the event stream ended: %w", io.ErrUnexpectedEOF)}
}

// field takes one line of an event; comments are dropped.
func (e *Event) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		e.ID = string(value)
	case "event":
		e.Kind = strings.TrimSpace(string(value))
	case "data":
		e.Data = append(e.Data, value...)
	}
}
