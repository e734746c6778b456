// Package gossip tells a node which others there are, where, and whether they
// are alive, over hashicorp/memberlist on the node port.
//
// It is a hint, never a decision: a member that is not alive here is one piece
// of evidence, and left and failed look the same. What memberlist lacks is
// added: a rejoin loop, without which two halves of a healed partition stay
// apart for ever (measured), and the refusal of nodes of another cluster.
//
// Small messages ride on it as a [Cargo]: in the rest of packets that go out
// anyway, in full exchanges, and with the answers to probes. It neither reads
// nor keeps them.
//
// memberlist trusts what it reads. So packets that are compressed are dropped,
// and a stream is read whole, within limits, and looked at before memberlist gets
// it: without encryption a stranger can lie about members, but end no node.
//
// It does not resolve conflicts of node ids and does not touch raft.
//
// New starts nothing; Run blocks. The other methods may be called from any
// goroutine at any time. memberlist calls its delegates with its lock held, so
// those only copy and set a flag; nobody calls memberlist with our lock held.
// After Run the connections are closed and memberlist is shut down; goroutines
// of its own end within TCPTimeout.
//
// Tests run whole clusters over testcluster/simnet in synctest bubbles; the
// codec of Meta is fuzzed.
package gossip
