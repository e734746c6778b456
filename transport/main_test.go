package transport_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Tests on real sockets leave no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
