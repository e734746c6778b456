package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-cluster/holdfast/api"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1 // unavailable or failed; a retry may help
	exitUsage   = 2
	exitRefused = 3 // the cluster said no, and would again
)

// usageError is a command line that cannot be run.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage returns a usageError.
func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exit tells the user about err, on one line, and returns the exit code.
func (p *program) exit(err error) int {
	if err == nil {
		return exitDone
	}
	code := exitFailed
	var wrong *usageError
	var problem *api.Problem
	switch {
	case errors.As(err, &wrong):
		code = exitUsage
	case errors.As(err, &problem) && refused(problem):
		code = exitRefused
	}
	fmt.Fprintf(p.stderr, "holdfast: %s\n", strings.Join(strings.Fields(advise(err)), " "))
	return code
}

// refused tells whether the cluster's answer stands until somebody changes
// something.
func refused(p *api.Problem) bool {
	return p.Code == api.Unsupported || p.Status < http.StatusInternalServerError && !p.Code.Retryable()
}

// advise returns the words of an error. The client's errors about connections
// and waiting get what to do about it.
func advise(err error) string {
	var link *url.Error
	var problem *api.Problem
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &problem) && problem.Code == api.OutcomeUnknown:
		return "no answer came, and it may have been done all the same: look before you do it again (outcome-unknown)"
	case adviseTLS(err) != "":
		return adviseTLS(err)
	case errors.As(err, &link):
		return fmt.Sprintf("no node answered: %v; check that the cluster runs and that --addr or HOLDFAST_ADDR names it", link.Err)
	}
	return strings.ReplaceAll(err.Error(), "?timeout=", "--timeout")
}

// takes wants exactly the arguments that are named.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage("%s is missing: %s", names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return usage("%q is one argument too many: %s", args[len(names)], cmd.UseLine())
		}
		return nil
	}
}

// takesFrom wants the arguments that are named, of which all but the first
// least may be missing; the last may come again and again if it ends in "…".
func takesFrom(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		endless := strings.HasSuffix(names[len(names)-1], "…")
		switch {
		case len(args) < least:
			return usage("%s is missing: %s", strings.TrimSuffix(names[len(args)], "…"), cmd.UseLine())
		case len(args) > len(names) && !endless:
			return usage("%q is one argument too many: %s", args[len(names)], cmd.UseLine())
		}
		return nil
	}
}
