// Package agent joins the parts of one node into something that runs: a
// [cluster.Node], the HTTP API on a port of its own and on the node port, and
// the store that keeps the copies, all on one [transport.Network]. The command
// line uses it, testcluster does, and so does a program that embeds a node.
//
// # The life of an agent
//
// [Agent.Run] binds the API's port and serves it before the slow part begins:
// until the log is replayed /readyz says not ready, and /livez answers. Then
// it opens the content directory and runs the node, with the API, marked as
// forwarded, and the content on the node port beside it.
//
// It stops in this order, and says so in the log: first the API's own port, so
// that clients go elsewhere while this node can still answer what it has
// accepted; then the node, whose leadership is handed over while the others'
// requests are still served; then what served them; the store last, because
// all of them use it.
//
// # Content
//
// A PUT goes from the client through this node to the disks of enough holders
// at once, and only its commit goes through the leader (rule S3). A GET is
// served from this node's disk or from a live copy elsewhere, exactly the
// version that the state names.
//
// # What it does not do
//
// It decides nothing, knows no command line, and does not restart what fails:
// when a part ends by itself, Run stops the others and returns its error.
//
// # Concurrency
//
// New starts nothing. Run returns when everything it started has ended. All
// other methods may be called from any goroutine.
//
// # Testing
//
// Tests run agents on a simulated network inside testing/synctest bubbles, and
// speak to them over its HTTP.
package agent
