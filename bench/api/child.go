package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// child is a server in a process of its own: this program, started with the name of a server as its
// only argument. Both sides write JSON values to each other. The child ends when its input does.
type child struct {
	peer
	command *exec.Cmd
	tell    io.Closer
	toChild *json.Encoder
	answers *json.Decoder
}

// peer is where a server is, and the access key that opens it.
type peer struct {
	Address string
	Key     string
	Secret  string
}

// orders are what a child is told: first what it needs to start, then what to do.
type orders struct {
	Catalog string `json:",omitempty"` // URL
	Key     string `json:",omitempty"`
	Secret  string `json:",omitempty"`
	Answer  []byte `json:",omitempty"` // what the bare handler answers from now on
	Profile string `json:",omitempty"` // the file into which processor time is profiled until Stop
	Stop    bool   `json:",omitempty"`
}

// report answers an order.
type report struct{ Error string }

func startChild(name string, start orders) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{command: exec.Command(program, name)}
	c.command.Stderr = os.Stderr
	in, errIn := c.command.StdinPipe()
	out, errOut := c.command.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, err
	}
	c.tell, c.toChild, c.answers = in, json.NewEncoder(in), json.NewDecoder(out)
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	if err := errors.Join(c.toChild.Encode(start), c.answers.Decode(&c.peer)); err != nil {
		return nil, fmt.Errorf("start server %q: %w", name, errors.Join(err, c.end()))
	}
	return c, nil
}

// order tells the child to do something and waits until it is done.
func (c *child) order(o orders) error {
	var r report
	if err := errors.Join(c.toChild.Encode(o), c.answers.Decode(&r)); err != nil {
		return err
	}
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

func (c *child) cpu() (time.Duration, error) {
	u, err := usageOf(c.command.Process.Pid)
	return u.own, err
}

func (c *child) end() error { return errors.Join(c.tell.Close(), c.command.Wait()) }

// obey carries out orders until there are no more.
func obey(in *json.Decoder, out *json.Encoder, do func(orders) error) error {
	for {
		var o orders
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var r report
		if err := do(o); err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}
