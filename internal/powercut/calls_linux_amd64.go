package powercut

import "syscall"

const seccompCall = 317

// callNames are the calls that are held up, by their numbers.
func callNames() map[int32]string {
	return map[int32]string{
		syscall.SYS_FSYNC: "fsync", syscall.SYS_FDATASYNC: "fdatasync",
		syscall.SYS_RENAME: "rename", syscall.SYS_RENAMEAT: "rename", 316: "rename",
		syscall.SYS_UNLINK: "unlink", syscall.SYS_UNLINKAT: "unlink",
	}
}
