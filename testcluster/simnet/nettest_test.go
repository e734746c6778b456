package simnet_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/holdfast-cluster/holdfast/testcluster/simnet"
)

// A stream behaves as net.Conn demands, deadlines and concurrent calls
// included, judged by the conformance suite of golang.org/x/net. It runs in
// real time: nothing here needs a bubble.
func TestConnConformance(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		n := simnet.New(1)
		a, b := n.Host("a", "10.0.0.1"), n.Host("b", "10.0.0.2")
		ln, err := b.Listen(":0")
		if err != nil {
			return nil, nil, nil, err
		}
		if c1, err = a.Dial(t.Context(), ln.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = ln.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { n.Close() }, nil
	})
}
