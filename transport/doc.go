// Package transport carries bytes between nodes. A node has one port: a TCP
// listener and a UDP socket on the same address. Each TCP stream opens with a
// short handshake that says which protocol follows (raft, gossip, rpc, http or
// pull) and who is speaking; the other end answers with its own identity, or
// with a code and one line that say why it refuses. After the handshake the
// stream belongs to the protocol it was opened for.
//
// # What it does not do
//
// It knows no words of the domain and no policy: who may open which stream at
// what time is asked through Config.Admit. It does not resend, pool or balance
// connections, does not authenticate (put TLS under it through Config.Wrap: the
// identities of the handshake are claims, meant against mistakes), and does
// nothing with packets but send and receive them. It logs nothing; what it turns away it
// tells Config.OnRefused.
//
// # Concurrency
//
// New starts nothing. Bind binds. Run accepts until its context ends, then
// closes the port and each stream that the Mux ever handed out, and waits for
// the goroutines it started. All methods of Mux may be called from any
// goroutine. No lock is held across input or output.
//
// # Testing
//
// Where bytes really go is behind Network: System is the machine's own, and
// package simnet under testcluster is a simulated one that obeys the fake clock
// of testing/synctest. The tests run the Mux on both. The bytes of the
// handshake and of the rpc frames are pinned by golden tests, their decoders fuzzed.
package transport
