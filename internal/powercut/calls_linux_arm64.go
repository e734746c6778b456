package powercut

import "syscall"

const seccompCall = 277

// callNames are the calls that are held up, by their numbers.
func callNames() map[int32]string {
	return map[int32]string{
		syscall.SYS_FSYNC: "fsync", syscall.SYS_FDATASYNC: "fdatasync",
		syscall.SYS_RENAMEAT: "rename", 276: "rename", syscall.SYS_UNLINKAT: "unlink",
	}
}
