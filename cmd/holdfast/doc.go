// Holdfast runs and operates a cluster that keeps every chain held where it is
// held best.
//
// main parses, runs and exits; everything else is in the packages below it:
// agent for a node, api/client for a command that asks a cluster. Each command
// has a file. `holdfast dev` runs several agents as processes of their own.
//
// Exit codes: 0 done, 1 unavailable or failed (a retry may help), 2 used
// wrongly, 3 refused by the cluster. An error is one line on stderr that says
// what to do.
//
// # What it does not do
//
// It holds no state and makes no decision about placement. It does not put
// itself in the background and does not restart itself: a supervisor does.
//
// # Concurrency
//
// A command runs on one goroutine. The agent and dev own what they start and
// wait for it. The first interrupt ends a command in an orderly way, the
// second at once.
//
// # Testing
//
// A program is a value: tests run it whole, in-process, with arguments,
// environment and buffers of their own, against a server that answers the
// API's shapes. Help and tables are golden files (-update writes them anew).
package main
