//go:build linux && (amd64 || arm64)

package powercut

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Numbers of seccomp(2), seccomp_unotify(2), prctl(2) and poll(2).
const (
	prSetNoNewPrivs   = 38
	setModeFilter     = 1
	flagNewListener   = 1 << 3
	retUserNotif      = 0x7fc00000
	retAllow          = 0x7fff0000
	notifRecv         = 0xc0502100
	notifSend         = 0xc0182101
	respFlagContinue  = 1
	loadCallNumber    = 0x20 // BPF_LD | BPF_W | BPF_ABS, at offset 0
	jumpIfEqual       = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	returnValue       = 0x06 // BPF_RET | BPF_K
	pollIn, pollHangs = 0x1, 0x10
)

// notification is struct seccomp_notif.
type notification struct {
	ID    uint64
	Pid   uint32
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// holdUpCalls makes the kernel ask before each call of callNames that this
// thread makes from now on, and whatever it executes. It never gives the
// thread back.
func holdUpCalls() (notifications int, err error) {
	runtime.LockOSThread()
	names := callNames()
	filter := []syscall.SockFilter{{Code: loadCallNumber}}
	for nr := range names {
		left := len(names) - len(filter) // comparisons that follow this one
		filter = append(filter, syscall.SockFilter{Code: jumpIfEqual, K: uint32(nr), Jt: uint8(left + 1)})
	}
	filter = append(filter, syscall.SockFilter{Code: returnValue, K: retAllow}, syscall.SockFilter{Code: returnValue, K: retUserNotif})
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0); errno != 0 {
		return 0, fmt.Errorf("prctl: %w", errno)
	}
	fd, _, errno := syscall.RawSyscall(seccompCall, setModeFilter, flagNewListener, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return 0, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}

// receive waits for the next call of the program.
func receive(calls *os.File) (notification, error) {
	for {
		poll := struct {
			fd              int32
			events, happens int16
		}{fd: int32(calls.Fd()), events: pollIn}
		_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, 0, 0, 0, 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return notification{}, errno
		case poll.happens&pollIn == 0:
			return notification{}, errors.New("the program is gone")
		}
		var n notification
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, calls.Fd(), notifRecv, uintptr(unsafe.Pointer(&n)))
		switch errno {
		case 0:
			return n, nil
		case syscall.EINTR, syscall.ENOENT: // the caller was interrupted or killed
		default:
			return notification{}, errno
		}
	}
}

// reply lets a call pass or fail. The program may be gone.
func reply(calls *os.File, n notification, err error) {
	r := response{ID: n.ID, Flags: respFlagContinue}
	if err != nil {
		errno := syscall.EIO
		errors.As(err, &errno)
		r = response{ID: n.ID, Error: -int32(errno)}
	}
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, calls.Fd(), notifSend, uintptr(unsafe.Pointer(&r)))
}

func socketpair() (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}

// receiveFile takes the notifications from the process that asked for them; one
// that was refused them has ended instead.
func receiveFile(from *os.File) (*os.File, error) {
	control := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := syscall.Recvmsg(int(from.Fd()), make([]byte, 1), control, syscall.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) == 0 {
		return nil, ErrUnsupported
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, ErrUnsupported
	}
	return os.NewFile(uintptr(fds[0]), "calls"), nil
}
