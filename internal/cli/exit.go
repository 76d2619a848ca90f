package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	ExitOK          = 0
	ExitFailed      = 1   // the task failed, the precheck found blockers, or the switchover did not do what was asked
	ExitRefused     = 2   // bad input, or refused: nothing was changed
	ExitUnreachable = 3   // the server cannot be reached, or failed
	ExitIncomplete  = 4   // the precheck found no blocker, but could not check everything
	ExitInterrupted = 130 // by the user; what was started goes on
)

// meanings are what the codes mean. Every help text has those that its command can end with.
var meanings = map[int]string{
	ExitOK:          "All went well.",
	ExitFailed:      "The task failed, the precheck found blockers, or the switchover did not do what was asked.",
	ExitRefused:     "Bad input, or the request was refused. Nothing was changed.",
	ExitUnreachable: "The server cannot be reached, or failed.",
	ExitIncomplete:  "The precheck found no blocker, but could not check everything.",
	ExitInterrupted: "Waiting was interrupted. The task goes on.",
}

// exitStatus is the last part of a help text. Every command can end with 0, 2 and 3.
func exitStatus(more ...int) string {
	text := "\n\nEXIT STATUS\n"
	for _, code := range []int{ExitOK, ExitFailed, ExitRefused, ExitUnreachable, ExitIncomplete, ExitInterrupted} {
		always := code == ExitOK || code == ExitRefused || code == ExitUnreachable
		for _, m := range more {
			always = always || m == code
		}
		if always {
			text += fmt.Sprintf("%5d  %s\n", code, meanings[code])
		}
	}
	return text[:len(text)-1]
}

// Error is a failure with all that is to be said of it.
type Error struct {
	Code   int
	Reason string
	Remedy string
	Cause  error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Reason + ": " + e.Cause.Error()
	}
	return e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ExitCode is what the program ends with.
func (e *Error) ExitCode() int { return e.Code }

// usage is a command line that makes no sense.
func usage(cmd *cobra.Command, err error) error {
	return &Error{Code: ExitRefused, Reason: err.Error(), Remedy: cmd.CommandPath() + " --help"}
}

// badFlag is a flag that is unknown, or whose value is. What Go says of numbers and durations is for programmers.
func badFlag(cmd *cobra.Command, err error) error {
	cause := errors.Unwrap(err)
	if cause == nil {
		return usage(cmd, err)
	}
	what, why := strings.TrimSuffix(err.Error(), cause.Error()), cause.Error()
	if _, ok := errors.AsType[*strconv.NumError](cause); ok {
		why = "give a number"
	} else if strings.HasPrefix(why, "time: ") {
		why = "give a time such as 30s or 10m"
	}
	return usage(cmd, errors.New(what+why))
}

// ofFlagGroup says in other words than cobra's that flags exclude each other.
func ofFlagGroup(cmd *cobra.Command, err error) error {
	group, is := strings.CutPrefix(err.Error(), "if any flags in the group [")
	if !is {
		return err
	}
	names, _, _ := strings.Cut(group, "]")
	return usage(cmd, fmt.Errorf("--%s exclude each other", strings.Join(strings.Fields(names), " and --")))
}

// arguments wraps cobra's checks of the arguments.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage(cmd, fmt.Errorf("%s is missing", names[len(args)]))
		case len(args) > len(names):
			return usage(cmd, fmt.Errorf("%q is one argument too many", args[len(names)]))
		}
		return nil
	}
}

// exitCode asks the error. Those of cobra itself say nothing.
func exitCode(ctx context.Context, err error) int {
	if e, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		return e.ExitCode()
	}
	if ctx.Err() != nil {
		return ExitInterrupted
	}
	return ExitRefused
}

// complain tells of a failure: as "Error:" and "Try:", or as JSON.
func complain(cmd *cobra.Command, err error, code int) {
	reason, remedy := err.Error(), ""
	if e, ok := errors.AsType[*Error](err); ok {
		remedy = e.Remedy
	}
	out := cmd.ErrOrStderr()
	if format := cmd.Flags().Lookup("output"); format != nil && format.Value.String() == formatJSON {
		json.NewEncoder(out).Encode(map[string]any{"error": reason, "remedy": remedy, "exitCode": code}) //nolint:errcheck,errchkjson // where else could it be told?
		return
	}
	fmt.Fprintf(out, "Error: %s\n", reason)
	if remedy != "" {
		fmt.Fprintf(out, "Try: %s\n", remedy)
	}
}
