package simnet

import (
	"net"
	"os"
	"syscall"
	"time"
)

// The errors of the machine, as real sockets return them.
var (
	errInUse    = os.NewSyscallError("bind", syscall.EADDRINUSE)
	errNotOurs  = os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	errDown     = os.NewSyscallError("socket", syscall.ENETDOWN)
	errRefused  = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	errNoRoute  = os.NewSyscallError("connect", syscall.EHOSTUNREACH)
	errReset    = os.NewSyscallError("read", syscall.ECONNRESET)
	errPipe     = os.NewSyscallError("write", syscall.EPIPE)
	errTooLarge = os.NewSyscallError("sendto", syscall.EMSGSIZE)
)

// opError wraps an error as package net does.
func opError(op, network string, local, remote net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Source: local, Addr: remote, Err: err}
}

// signal wakes all who wait: each waiter takes the channel under the lock and
// selects on it. The channel is made by the first waiter, so that it belongs to that one's bubble.
type signal struct{ ch chan struct{} }

func (s *signal) waiting() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) wake() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// wait gives up n.mu until s wakes, the time until comes (zero: never), or
// done closes (nil: never); then it takes n.mu again.
func (n *Net) wait(s *signal, until time.Time, done <-chan struct{}) {
	woken := s.waiting()
	n.mu.Unlock()
	defer n.mu.Lock()
	var tick <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		tick = t.C
	}
	select {
	case <-woken:
	case <-tick:
	case <-done:
	}
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// passed reports whether a deadline is over; zero means never.
func passed(deadline, now time.Time) bool {
	return !deadline.IsZero() && !now.Before(deadline)
}
