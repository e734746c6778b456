// Package api holds the shapes of the HTTP API as Go types: what is sent and
// answered in JSON, the error codes with their status, and the names of
// headers. Server, client and command line share it.
//
// Every key of a shape is always present: what is empty is null, [] or {}.
// Configured durations are Go duration strings ([Duration]), cluster times
// are seconds since the cluster's birth with three decimals ([ClusterTime],
// null = never), wall times are RFC 3339 in UTC.
//
// The types carry no behaviour and know nothing of the state behind them;
// package api/server fills them in. They are plain values, so concurrency is
// the caller's business.
//
// Tests: the marshalling of the scalar types here, and one golden file per
// shape in api/server, produced by the real handlers over a real state.
package api
