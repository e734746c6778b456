// Package powercut runs a program whose disk obeys a test. Every sync, rename
// and removal of the program waits for the test's word: it passes, fails with
// an error of the system, hangs, or is where the program dies. The program
// needs no hook for that; the kernel stops it (seccomp user notification).
//
// SIGKILL alone proves little about a disk: what was written and never synced
// survives it in the page cache. So a Platter follows the same calls and keeps
// what a power cut would leave: of each file the bytes of its last sync, of each
// directory the names of its last sync.
//
// It is Linux only, 64 bits, kernel 5.9 or newer; elsewhere, and where the
// kernel refuses, Start returns ErrUnsupported and the test should skip, visibly.
// It sees no mmap and no power cut in the middle of a write: tests cut and
// change files for that.
//
// A Program is safe for concurrent use; its watch function runs on a goroutine
// per call. Wait ends when the program and all of these have.
package powercut
