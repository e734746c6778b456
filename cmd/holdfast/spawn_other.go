//go:build !unix

package main

import "syscall"

// terminateSignal ends a process: there is no asking here.
const terminateSignal = syscall.SIGKILL

// childAttributes has nothing to say here.
func childAttributes() *syscall.SysProcAttr { return nil }
