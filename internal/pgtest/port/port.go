// Package port finds ports for servers of tests, so that tests that run at the same time do not take each other's.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// The ports lie below those that kernels take for outgoing connections (32768 and up), so no connection takes one
// while its server is down. Each comes with those above it up to the next one: the target of an upgrade takes the
// first port above its source's, long before it listens there, and its standbys the ones after that.
const (
	first  = 10_000
	last   = 32_000
	spread = 8
)

// Reserve returns a port of 127.0.0.1 that nobody listens on. No other process is given it, or one of the seven above it,
// until it is released, at the latest when this process ends.
func Reserve() (port int, release func(), err error) {
	for range 200 {
		port = first + spread*rand.IntN((last-first)/spread)
		if release, err = claim(port); err != nil {
			continue
		}
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, release, listener.Close()
		}
		release()
	}
	return 0, nil, fmt.Errorf("find a free port on 127.0.0.1: %w", err)
}

// claim takes the name of a port among the machine's abstract sockets (unix(7)), which only one process can have at a
// time, and which is free again when that process ends, however it does. The programs that it starts do not inherit it.
func claim(port int) (release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("claim port %d: %w", port, err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: "@pgleap-test-port-" + strconv.Itoa(port)}); err != nil {
		return nil, errors.Join(fmt.Errorf("claim port %d: %w", port, err), syscall.Close(fd))
	}
	return func() { _ = syscall.Close(fd) }, nil
}
