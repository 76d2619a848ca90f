package pgtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on. It lies below the range from which
// kernels take ports for outgoing connections (32768 and up), so no connection takes it meanwhile.
func FreePort(t testing.TB) int {
	t.Helper()
	var last error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		listener.Close()
		return port
	}
	t.Fatalf("find a free port on 127.0.0.1: %v", last)
	return 0
}
