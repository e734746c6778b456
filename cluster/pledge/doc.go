// Package pledge decides which servers bootstrap a new cluster, so that two
// young clusters never come from one set of servers (safety rule S15).
//
// The lowest of the first N node ids that a server sees proposes itself and
// the others. Each of the N, the proposer included, pledges to one proposal
// only, durably before it says so. When all N have pledged to the same one,
// the proposer writes down that it is decided, and then bootstraps. A proposer
// that has not decided may withdraw: it writes down that the number will never
// bootstrap, and then the pledges are released by that number. Nobody but the
// same instance can withdraw a proposal; if that is lost, an operator deletes
// the file "pledge" of the stopped nodes.
//
// Any two proposals of N servers out of fewer than 2N share a server, and it
// pledges to one. With 2N or more empty servers that see only parts of each
// other no rule of this kind can help; the cluster's name and the seeds, which
// are asked first, keep those apart.
//
// A Machine is both halves, proposer and pledger, of one node. It does no
// input or output but through its Store, starts nothing, and is given the
// time: its caller sends what it returns and calls it with what arrives, one
// call at a time. An error is the Store's and ends the Machine: what it wrote
// is then unknown, and only a new Machine on the same directory may go on.
//
// Tests run random schedules of several Machines with lost and repeated
// messages and a crash at every write.
package pledge
