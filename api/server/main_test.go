package server

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing that the server does may outlive its requests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
