// Package authfile reads the file of `--auth-file`: whose tokens the API
// takes, and what each may do.
//
// The file is a list in YAML or JSON, read strictly:
//
//   - name: ci
//     sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//     role: operate
//
// It holds hashes only, so whoever reads it cannot use it. A name may have
// several tokens of one role: that is how one is replaced without a gap.
//
// A [File] keeps what it read last. [File.Run] looks again every few seconds;
// a file that cannot be read, says nothing or is wrong changes nothing and is
// logged. Its methods may be called from any goroutine.
//
// Tests use real files, and a fuzz target for what is in them.
package authfile
