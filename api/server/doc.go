// Package server serves the HTTP API of one node: the routes under /v1, the
// event stream, and the pages for probes, metrics and profiles.
//
// The handlers read the replicated state through views and change it through
// proposed operations. They decide nothing and keep nothing: what they need
// of the node they declare as small interfaces ([State], [Writer],
// [Leadership], [Decider], [Operator], [Content]).
//
// A request that needs the leader is answered here if this node leads, and
// otherwise passed on whole, at most once, over the transport between nodes
// (see forward.go). The bytes of contents are the exception: they never pass
// through the leader.
//
// JSON is read strictly: an unknown field, parameter or type is refused and
// named. Every error answer is an [api.Problem]. A panic becomes one too.
//
// The package starts no goroutine and logs nothing; defects go to
// [Config.OnError]. All of it may be used by any number of goroutines.
//
// Tests run the real handlers over a real state machine that applies batches
// in place of a cluster. One golden file per shape pins the JSON; run them
// with -update after a change and read the difference.
package server
