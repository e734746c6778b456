package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFileBytes bounds what is read of one file; the largest is withdrawn.
const maxFileBytes = 1 << 20

// WriteFile replaces the file at path with data, so that after a crash either
// the old or the new content is there, whole, and after a nil return the new
// one. Only one writer at a time may write one path.
func WriteFile(path string, data []byte) (err error) {
	temp := filepath.Join(filepath.Dir(path), ".tmp-"+filepath.Base(path))
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// MakeDirs makes a directory (mode 0700) and those above it that are missing,
// each with a name that survives a crash.
func MakeDirs(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil // if it is no directory, who uses it says so
	}
	parent := filepath.Dir(path)
	if err := MakeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return SyncDir(parent)
}

// SyncDir makes the names in a directory durable.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if closeErr := dir.Close(); err == nil {
		err = closeErr
	}
	return err
}

// seal appends the checksum line to one line of text.
func seal(line string) []byte {
	return fmt.Appendf(nil, "%s\ncrc32c %08x\n", line, checksum(line))
}

// unseal returns the line that seal was given.
func unseal(data []byte) (string, error) {
	line, rest, found := strings.Cut(string(data), "\n")
	if !found {
		return "", errors.New("it has no checksum")
	}
	if want := fmt.Sprintf("crc32c %08x\n", checksum(line)); rest != want {
		return "", errors.New("its checksum does not fit its content")
	}
	return line, nil
}

func checksum(line string) uint32 {
	return crc32.Checksum([]byte(line), crc32.MakeTable(crc32.Castagnoli))
}

// readSealed returns the line in the file at path; ok is false if there is no
// such file.
func readSealed(path string) (line string, ok bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	var content bytes.Buffer
	if _, err := io.Copy(&content, io.LimitReader(file, maxFileBytes)); err != nil {
		return "", false, err
	}
	line, err = unseal(content.Bytes())
	if err != nil {
		return "", false, &DamageError{File: path, Reason: err.Error()}
	}
	return line, true, nil
}
