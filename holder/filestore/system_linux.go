package filestore

import (
	"os"
	"syscall"
)

// syncFileRangeWrite asks to begin writing dirty pages and not to wait for
// them (SYNC_FILE_RANGE_WRITE of sync_file_range(2)).
const syncFileRangeWrite = 2

// startWriteback begins to write what is dirty of f. It promises nothing: a
// sync still has to follow, so an error is of no interest here.
func startWriteback(f *os.File) {
	_ = syscall.SyncFileRange(int(f.Fd()), 0, 0, syncFileRangeWrite)
}

// setDirect sets whether writes to f go past the page cache (O_DIRECT of
// open(2)).
func setDirect(f *os.File, on bool) error {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	if errno == 0 {
		flags &^= syscall.O_DIRECT
		if on {
			flags |= syscall.O_DIRECT
		}
		_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFL, flags)
	}
	if errno != 0 {
		return os.NewSyscallError("fcntl", errno)
	}
	return nil
}
