// Package secure keeps what makes a cluster's ports private: the certificates
// of TLS and the keys of gossip, each in files that may change while a node
// runs.
//
// The node port speaks TLS 1.3 with certificates at both ends. A certificate
// of the right authority is not enough: it must bear the name that [NodeName]
// gives, which says "a node of this cluster". So one authority may serve
// several clusters, and its certificates for clients, web servers and people
// open no node port. Which node of the cluster a peer is, the certificate does
// not say: every node takes part in deciding everything, so one that lies about its
// name could do no more than it can already.
//
// [Certificates] and [Keys] re-read their files when Refresh is called. What
// cannot be used changes nothing: the old stays in force, and the error says
// what is wrong, once. [Init] makes a working set of files for a test cluster.
//
// Nothing here starts a goroutine. All methods may be called from any
// goroutine.
package secure
