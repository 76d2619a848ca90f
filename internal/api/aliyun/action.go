package aliyun

import (
	"context"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/control"
)

// action is one operation of the vendor's API: what the door must know of it before it may run, and how it runs.
type action struct {
	name        string
	level       string                // "get", "list", "update" or "delete", as the vendor classifies it: documentation
	object      func(p lookup) string // instance in acs:rds:{region}:{account}:dbinstance/{id}; "*" for all of them
	unscoped    bool                  // granted on resource "*", or on the object if it has one
	required    []string              // parameters that must be given
	clientToken bool                  // honours ClientToken
	reads       bool                  // changes nothing
	cached      bool                  // the answer depends on the parameters and on the revision of the object alone
	do          func(ctx context.Context, a *api, c *call) (any, error)
}

// root is the element that an answer in XML is.
func (a *action) root() string { return a.name + "Response" }

// call is one request whose caller is known and may do what is asked.
type call struct {
	params    params
	caller    control.Caller
	requestID string
	// denied tells whether the policy denies the operation on one of many instances; nil: on none.
	denied func(id string) bool
}

// actor names the caller to the one door.
func (c *call) actor() control.Actor { return c.caller.Actor(c.requestID) }

// params are the decoded parameters of a request: those of the query and those of the form together,
// which the vendor's clients use interchangeably. Names are case-sensitive.
type params map[string]string

// lookup is the parameters of a request, whether an operation will need them or not.
type lookup interface{ text(name string) string }

// text returns a parameter, or nothing if it is absent.
func (p params) text(name string) string { return p[name] }

// integer returns a whole number between least and greatest, and absent if the parameter is not given.
func (p params) integer(name string, least, greatest, absent int) (int, error) {
	text := p[name]
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > greatest {
		return 0, fail("Parameters.Invalid", "Parameter "+name+" must be a whole number from "+
			strconv.Itoa(least)+" to "+strconv.Itoa(greatest)+".")
	}
	return n, nil
}

// boolean returns a truth value and whether it was given. The vendor's own clients write it as text
// or as a digit.
func (p params) boolean(name string) (value, given bool, err error) {
	text := p[name]
	switch {
	case text == "":
		return false, false, nil
	case text == "1", strings.EqualFold(text, "true"):
		return true, true, nil
	case text == "0", strings.EqualFold(text, "false"):
		return false, true, nil
	}
	return false, false, fail("Parameters.Invalid", "Parameter "+name+" must be true or false.")
}
