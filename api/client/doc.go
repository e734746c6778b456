// Package client is the Go client of the HTTP API. It imports package api and
// the standard library only.
//
// A [Client] knows some addresses of one cluster and asks them in order,
// beginning with the one that answered last. Any node takes any request and
// passes it on to the leader where that is needed. A connection that fails, a
// node that is not ready and a cluster without a leader are tried again for
// as long as the context and [WithRetry] allow; every write carries an
// idempotency key, so that a retry is applied once.
//
// An error of the cluster is an [*api.Problem], with a code for programs and
// words for people.
//
// [Client.Watch] follows the chains and [Client.Events] the event stream
// across restarts, leader changes and resets. Both run on the caller's
// goroutine; the package starts none. All methods may be called by any number
// of goroutines.
//
// Tests run it against the real handlers over a real state.
package client
