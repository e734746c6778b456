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
