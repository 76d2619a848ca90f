package onhost

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strconv"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// lastingPort finds a free TCP port for a server that is to have it for good. It lies below those that kernels take for
// outgoing connections (32768 and up): one of them may hold any of those when the server is started again.
func lastingPort() (int, error) {
	for range 1000 {
		port := 10_000 + rand.IntN(22_000) //nolint:gosec // a port is no secret
		if portIsFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("find a free port: a thousand between 10000 and 32000 are taken")
}

// freePort finds a TCP port on loopback whose socket name is free too. Somebody may take it before
// it is used: whoever uses it must cope with a server that does not start, and ask again.
func freePort(socketDir string) (int, error) {
	for range 20 {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it returns at once
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		address, ok := listener.Addr().(*net.TCPAddr)
		if err := listener.Close(); err != nil || !ok {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		socket := upgrade.Address{Host: socketDir, Port: address.Port}.String()
		if _, err := os.Lstat(socket); errors.Is(err, fs.ErrNotExist) {
			return address.Port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: every one that was tried has a socket in %s", socketDir)
}

// portIsFree tells whether a TCP port on loopback can be listened on.
func portIsFree(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it returns at once
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
