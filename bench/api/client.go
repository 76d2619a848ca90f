package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client is one connection that is kept open. It knows as much HTTP as our servers speak: the program
// shares the processors with them, and net/http's client costs as much as what it measures.
type client struct {
	conn    net.Conn
	in      *bufio.Reader
	make    maker
	request []byte
}

// patience bounds one exchange.
const patience = 30 * time.Second

func dial(address string, m maker) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 128<<10), make: m}, nil
}

// ask sends a request about an instance and reads the answer. The body is kept if keep is given.
func (c *client) ask(instance int, keep *bytes.Buffer) error {
	c.request = c.make.appendRequest(c.request[:0], instance)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, length, err := c.readHead()
	if err != nil {
		return err
	}
	if status != 200 && keep == nil {
		keep = &bytes.Buffer{}
	}
	if length >= 0 {
		err = c.readPart(length, keep)
	} else {
		err = c.readChunks(keep)
	}
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d: %s", status, keep)
	}
	return err
}

// readHead returns the status and the length of the body, -1 for one that comes in chunks.
func (c *client) readHead() (status, length int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, 0, fmt.Errorf("not an answer: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("not an answer: %q", line)
	}
	length = -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		if len(line) <= 2 {
			return status, length, nil
		}
		if name := "Content-Length: "; bytes.HasPrefix(line, []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, 0, err
			}
		}
	}
}

func (c *client) readPart(length int, keep *bytes.Buffer) error {
	if keep != nil {
		_, err := io.CopyN(keep, c.in, int64(length))
		return err
	}
	_, err := c.in.Discard(length)
	return err
}

func (c *client) readChunks(keep *bytes.Buffer) error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return errors.New("a chunk without a size")
		}
		if err := c.readPart(int(size), keep); err != nil {
			return err
		}
		if _, err := c.in.Discard(2); err != nil || size == 0 {
			return err
		}
	}
}
