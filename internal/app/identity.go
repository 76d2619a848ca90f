package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// identity is how a server is known in the record. It stays the same when the machine is renamed.
type identity struct {
	host   string // the machine whose clusters its agent looks after
	server string // what its engine carries out is its own: several servers may share a record
}

// The files in the state directory that keep it.
const (
	hostIDFile   = "host-id"
	serverIDFile = "server-id"
)

// ownIdentity reads the identity, or makes it when the server is started for the first time.
func (s *Server) ownIdentity(ctx context.Context, record *catalog.Catalog) (own identity, err error) {
	if own.host, err = s.keptName(hostIDFile, func() (string, error) { return s.nameHost(ctx, record) }); err != nil {
		return own, fmt.Errorf("name this host: %w", err)
	}
	own.server, err = s.keptName(serverIDFile, func() (string, error) {
		// A state directory that is lost and made again in the same place is the same server's: only so are the
		// tasks, whose workflows were lost with it, found to be lost.
		return own.host + ":" + s.config.StateDir, nil
	})
	if err != nil {
		return own, fmt.Errorf("name this server: %w", err)
	}
	return own, nil
}

// nameHost asks the machine for its name. An older pgleap kept it in the record, as that of the one host there was:
// whoever has had an engine or an agent, and no file, is that host.
func (s *Server) nameHost(ctx context.Context, record *catalog.Catalog) (string, error) {
	_, noEngine := os.Stat(s.engineDir())
	_, noAgent := os.Stat(filepath.Join(s.config.StateDir, "agent"))
	if noEngine == nil || noAgent == nil {
		name, err := record.Setting(ctx, "host-id")
		if _, none := errors.AsType[*upgrade.NotFound](err); !none {
			return name, err
		}
	}
	return os.Hostname()
}

// keptName reads a name from a file, or makes it and writes the file.
func (s *Server) keptName(file string, makeName func() (string, error)) (string, error) {
	path := filepath.Join(s.config.StateDir, file)
	content, err := os.ReadFile(path) //nolint:gosec // in our own directory
	if err == nil {
		if name := strings.TrimSpace(string(content)); name != "" {
			return name, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	name, err := makeName()
	if err != nil {
		return "", err
	}
	return name, writePrivate(path, name+"\n")
}
