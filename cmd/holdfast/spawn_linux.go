package main

import "syscall"

// terminateSignal asks a process to stop in good order.
const terminateSignal = syscall.SIGTERM

// childAttributes puts a child in a group of its own and lets it die with the
// thread that started it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
