package native

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestStatusOfAnError(t *testing.T) {
	for name, test := range map[string]struct {
		err            error
		status         int
		detail, remedy string
	}{
		"bad input":     {&control.Invalid{Reason: "70000 is no port", Remedy: "r"}, http.StatusBadRequest, "70000 is no port", "r"},
		"no such thing": {&upgrade.NotFound{Kind: "instance", Name: "x"}, http.StatusNotFound, "instance x does not exist", "list the instances with `pgleap instance list`"},
		"not now":       {&control.Conflict{Reason: "upgrade 3 is running", Remedy: "r"}, http.StatusConflict, "upgrade 3 is running", "r"},
		"not ever":      {&upgrade.Refused{Reason: "17 is not above 17", Remedy: "r"}, http.StatusUnprocessableEntity, "17 is not above 17", "r"},
		"deep inside":   {fmt.Errorf("create upgrade: %w", &upgrade.Refused{Reason: "no", Remedy: "r"}), http.StatusUnprocessableEntity, "no", "r"},
		"not there":     {&control.Unavailable{Reason: "the agent is silent", Remedy: "r"}, http.StatusServiceUnavailable, "the agent is silent", "r"},
		"our own fault": {errors.New("password=secret"), http.StatusInternalServerError, "the server failed to carry out the request", "look for the request's id in its log"},
		"no body":       {unreadable(fmt.Errorf("decode: %w", io.EOF)), http.StatusBadRequest, "the request has no body", "send a JSON object"},
		"too large":     {unreadable(&http.MaxBytesError{Limit: 5}), http.StatusBadRequest, "the request is larger than 5 bytes", ""},
	} {
		p := problemOf(test.err)
		if p.Status != test.status || p.Detail != test.detail || p.Remedy != test.remedy {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}
