// Package e2e runs the built binary as a user does: real processes, real
// sockets on loopback, real files, and kill -9. Its tests carry the build tag
// e2e; HOLDFAST_BIN names the binary. `make e2e` does both.
package e2e
