//go:build unix && !linux

package main

import "syscall"

// terminateSignal asks a process to stop in good order.
const terminateSignal = syscall.SIGTERM

// childAttributes puts a child in a group of its own. If this program is
// killed outright, its children stay: only Linux knows otherwise.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
