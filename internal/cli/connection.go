package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgleap/pgleap/internal/api/native/client"
)

// The files in the state directory that the server leaves for its clients.
const (
	addressFile = "address"
	tokenFile   = "token"
)

// connect returns a client of the server, which need not be up yet.
func (o *options) connect(cmd *cobra.Command) (*client.Client, error) {
	dir := StateDir(cmd)
	server := o.server
	if server == "" {
		server = os.Getenv("PGLEAP_SERVER")
	}
	token, err := readState(dir, tokenFile)
	if missing, ok := errors.AsType[*Error](err); ok && server != "" {
		missing.Remedy = "name the state directory of " + server + " with --state-dir, or a directory with a copy of its file " + tokenFile
	}
	if err == nil && server == "" {
		server, err = readState(dir, addressFile)
	}
	if err != nil {
		return nil, err
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	return client.NewClient(strings.TrimSuffix(server, "/")+"/api/v1/",
		client.WithHTTPClient(&http.Client{Transport: transport(dir)}),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			if u, err := user.Current(); err == nil {
				r.Header.Set("Pgleap-User", u.Username)
			}
			return nil
		}))
}

// transport bounds the wait for an answer to begin, which may take several questions to the host;
// streams go on as long as they like. It asks no proxy: the token is for the server alone.
func transport(stateDir string) *http.Transport {
	return &http.Transport{ResponseHeaderTimeout: 5 * time.Minute, TLSClientConfig: trust(stateDir)}
}

// readState reads what the server left in its state directory.
func readState(dir, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	value := strings.TrimSpace(string(text))
	switch {
	case (errors.Is(err, fs.ErrNotExist) || err == nil && value == "") && name == addressFile: // there while it runs
		return "", &Error{
			Code: ExitUnreachable, Reason: fmt.Sprintf("the server of %s does not run", dir),
			Remedy: "start it with `pgleap server`, or with systemd; its log says why it stopped",
		}
	case errors.Is(err, fs.ErrNotExist), err == nil && value == "":
		return "", &Error{
			Code: ExitUnreachable, Reason: fmt.Sprintf("there is no sign of a server in %s: no file %s", dir, name),
			Remedy: "start one with `pgleap server`, or name its state directory with --state-dir",
		}
	case errors.Is(err, fs.ErrPermission):
		return "", &Error{
			Code: ExitUnreachable, Reason: fmt.Sprintf("%s may not be read by this user", filepath.Join(dir, name)),
			Remedy: "run this as the user that runs the server",
		}
	case err != nil:
		return "", &Error{Code: ExitUnreachable, Reason: "read the server's state", Cause: err}
	}
	return value, nil
}

// decode reads the answer of the API.
func decode[T any](response *http.Response, err error) (T, error) {
	var value T
	if err := answered(response, err); err != nil {
		return value, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&value); err != nil {
		return value, &Error{Code: ExitUnreachable, Reason: "read the server's answer", Cause: err}
	}
	return value, nil
}

// answered tells what is wrong with an answer; if nothing is, its body is open.
func answered(response *http.Response, err error) error {
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return &Error{Code: ExitInterrupted, Reason: "interrupted"}
		}
		return &Error{
			Code: ExitUnreachable, Reason: "the server cannot be reached", Cause: err,
			Remedy: "see whether it runs; --server and --state-dir say which one is meant",
		}
	}
	if response.StatusCode < http.StatusBadRequest {
		return nil
	}
	defer response.Body.Close()
	return problem(response)
}

// problem makes an error of problem details (RFC 9457).
func problem(response *http.Response) error {
	var p client.Problem
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if json.Unmarshal(text, &p) != nil || p.Detail == "" {
		return &Error{Code: ExitUnreachable, Reason: "the server answered " + response.Status + ", which pgleap does not"}
	}
	failure := &Error{Code: ExitRefused, Reason: p.Detail, Remedy: p.Remedy}
	if p.Status >= http.StatusInternalServerError {
		failure.Code = ExitUnreachable
		failure.Reason += " (request " + p.RequestId + ")"
	}
	return failure
}
