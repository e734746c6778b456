package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
	"github.com/holdfast-cluster/holdfast/api/client"
)

// addrDefault is where `holdfast dev` and a node with default flags listen.
const addrDefault = "http://127.0.0.1:7401,http://127.0.0.1:7403,http://127.0.0.1:7405"

// access is the flags of every command that asks a cluster.
type access struct {
	p       *program
	addr    string
	ca      string
	output  string
	timeout time.Duration
}

// accessTo adds the flags of access to a command and to all below it.
func (p *program) accessTo(cmd *cobra.Command) *access {
	a := &access{p: p}
	a.flags(cmd)
	return a
}

func (a *access) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&a.addr, "addr", addrDefault, "nodes to ask, in this order, separated by commas (HOLDFAST_ADDR; a token is taken from HOLDFAST_TOKEN)")
	f.StringVar(&a.ca, "ca", "", "file of the authority that signed the nodes' certificates, for https addresses ("+caVariable+"; default: the system's)")
	f.StringVarP(&a.output, "output", "o", "table", "table, or json: the API's answer as it came")
	f.DurationVar(&a.timeout, "timeout", 5*time.Second, "how long to go on trying while no node answers or none leads")
}

// session is one command's way to a cluster. The last answer in JSON is kept
// as it came.
type session struct {
	*client.Client
	p      *program
	json   bool
	answer *recorder
}

// open checks the flags of access and returns a session. It connects to
// nothing yet.
func (a *access) open(cmd *cobra.Command) (*session, error) {
	if a.output != "table" && a.output != "json" {
		return nil, usage("--output: %q is neither table nor json", a.output)
	}
	if a.timeout < 0 {
		return nil, usage("--timeout: %v is negative", a.timeout)
	}
	addr := a.addr
	if value, ok := a.p.env("HOLDFAST_ADDR"); ok && !cmd.Flags().Changed("addr") {
		addr = value
	}
	ca := a.ca
	if value, ok := a.p.env(caVariable); ok && !cmd.Flags().Changed("ca") {
		ca = value
	}
	trusted, err := trust(ca)
	if err != nil {
		return nil, usage("--ca: %w", err)
	}
	r := &recorder{next: &http.Transport{
		TLSClientConfig:   trusted,
		DialContext:       (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		DisableKeepAlives: true, // one command, few requests
	}}
	token, _ := a.p.env("HOLDFAST_TOKEN")
	c, err := client.New(strings.Split(addr, ","), client.WithToken(token), client.WithRetry(a.timeout), client.WithHTTPClient(&http.Client{Transport: r}))
	if err != nil {
		return nil, usage("--addr: %w", err)
	}
	return &session{Client: c, p: a.p, json: a.output == "json", answer: r}, nil
}

// run opens a session for what a command does.
func (a *access) run(do func(s *session, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.open(cmd)
		if err != nil {
			return err
		}
		defer s.Close()
		return do(s, cmd, args)
	}
}

// print writes what the command found: the API's answer as it came, or a
// table.
func (s *session) print(table func(w io.Writer)) error {
	if s.json {
		_, err := fmt.Fprintf(s.p.stdout, "%s\n", bytes.TrimSpace(s.answer.last.Load().Bytes()))
		return err
	}
	w := tabwriter.NewWriter(s.p.stdout, 0, 0, 3, ' ', 0)
	table(w)
	return w.Flush()
}

// say is print with one line of words.
func (s *session) say(format string, args ...any) error {
	return s.print(func(w io.Writer) { fmt.Fprintf(w, format+"\n", args...) })
}

// hint writes a line beside the table, where it disturbs no script.
func (s *session) hint(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(s.p.stderr, format+"\n", args...)
	}
}

// recorder keeps the body of the last JSON answer while it is read.
type recorder struct {
	next *http.Transport
	last atomic.Pointer[bytes.Buffer]
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "application/json" {
		body := new(bytes.Buffer) // a command may ask more than one thing at a time
		r.last.Store(body)
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(resp.Body, body), resp.Body}
	}
	return resp, nil
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (r *recorder) CloseIdleConnections() { r.next.CloseIdleConnections() }

// level is the flag of every read: how fresh the answer must be.
func level(cmd *cobra.Command) func() client.CallOption {
	f := cmd.Flags().String("consistency", api.FromLeader, "whose state to read: stale (any node's), leader, or linearizable (the leader proves that it leads)")
	return func() client.CallOption { return client.At(*f) }
}

// reason is the flag of every act.
func reason(cmd *cobra.Command) *string {
	return cmd.Flags().String("reason", "", "why, for the history")
}
