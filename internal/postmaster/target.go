package postmaster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// ChooseTarget decides where the target of an upgrade goes, and refuses what cannot be. It makes nothing.
func (h *Host) ChooseTarget(ctx context.Context, args step.ChooseTargetArgs) (upgrade.Cluster, error) {
	source := args.Source
	if args.Major <= source.Version.Major() {
		return upgrade.Cluster{}, &upgrade.Refused{
			Reason: fmt.Sprintf("the target version %d is not newer than the source's, %s", args.Major, source.Version),
			Remedy: fmt.Sprintf("choose %d or later", source.Version.Major()+1),
			Cause:  upgrade.CauseTarget,
		}
	}
	installation, err := h.installation(ctx, args.Major)
	if err != nil {
		return upgrade.Cluster{}, err
	}
	owner, err := run.LookupUser(source.Owner)
	if err != nil {
		return upgrade.Cluster{}, &upgrade.Refused{Reason: "the target would have to belong to " + source.Owner, Remedy: err.Error(), Cause: upgrade.CausePlace}
	}
	target := upgrade.Cluster{
		Host: h.id, Version: installation.Version, Bindir: installation.Bindir, SocketDir: source.SocketDir,
		Owner: source.Owner, Superuser: source.Superuser, Manager: upgrade.ManagerPgCtl,
	}
	// pg_ctlcluster knows one place for programs, and at boot there is nobody to tell it another.
	if source.Manager == upgrade.ManagerPgCtlcluster && realPath(h.debian.bindir(args.Major)) == installation.Bindir {
		target.Manager, target.Name = upgrade.ManagerPgCtlcluster, source.Name
	}
	if source.Manager == upgrade.ManagerSystemd && h.systemd.canRegister() {
		target.Manager = upgrade.ManagerSystemd
		if target.Unit, err = h.chooseUnit(ctx, source, args.Major, args.InPlace); err != nil {
			return upgrade.Cluster{}, err
		}
	}
	if err := h.choosePgdata(ctx, &target, source, args.Pgdata, owner); err != nil {
		return upgrade.Cluster{}, err
	}
	if target.Port, err = h.choosePort(ctx, source, args.Port); err != nil {
		return upgrade.Cluster{}, err
	}
	target.ConfigFile, target.HBAFile, target.IdentFile = h.configFiles(target)
	return target, nil
}

func (h *Host) configFiles(c upgrade.Cluster) (config, hba, ident string) {
	if c.Manager == upgrade.ManagerPgCtlcluster {
		return h.debian.configFiles(c.Version.Major(), c.Name)
	}
	return filepath.Join(c.Pgdata, "postgresql.conf"), filepath.Join(c.Pgdata, "pg_hba.conf"), filepath.Join(c.Pgdata, "pg_ident.conf")
}

// Installations lists the versions that are installed with every program that an upgrade needs.
func (h *Host) Installations(ctx context.Context) ([]upgrade.VersionNum, error) {
	found, err := pgbin.Installations(ctx, h.runner, h.prefixes)
	if err != nil {
		return nil, err
	}
	versions := []upgrade.VersionNum{}
	for _, installation := range found {
		if len(pgbin.Missing(installation.Bindir)) == 0 {
			versions = append(versions, installation.Version)
		}
	}
	return versions, nil
}

// installation finds the newest complete installation of a major version.
func (h *Host) installation(ctx context.Context, major upgrade.Major) (pgbin.Installation, error) {
	installations, err := pgbin.Installations(ctx, h.runner, h.prefixes)
	if err != nil {
		return pgbin.Installation{}, err
	}
	var incomplete error
	for _, found := range installations {
		if found.Version.Major() != major {
			continue
		}
		missing := pgbin.Missing(found.Bindir)
		if len(missing) == 0 {
			return found, nil
		}
		if incomplete == nil {
			incomplete = &upgrade.Refused{
				Reason: fmt.Sprintf("%s lacks %s", found.Bindir, strings.Join(missing, ", ")),
				Remedy: fmt.Sprintf("install the server and the client packages of PostgreSQL %d", major),
				Cause:  upgrade.CauseTarget,
			}
		}
	}
	if incomplete != nil {
		return pgbin.Installation{}, incomplete
	}
	return pgbin.Installation{}, &upgrade.Refused{
		Reason: fmt.Sprintf("PostgreSQL %d is not installed on this host", major),
		Remedy: fmt.Sprintf("install it (Debian: apt-get install postgresql-%d; Red Hat: dnf install postgresql%d-server postgresql%d-contrib), or give pgleap the prefix that it is installed in",
			major, major, major),
		Cause: upgrade.CauseTarget,
	}
}

// choosePgdata takes the directory that the user gave, or the first of the customary ones that is free.
func (h *Host) choosePgdata(ctx context.Context, target *upgrade.Cluster, source upgrade.Cluster, given string, owner run.User) error {
	if given != "" {
		target.Pgdata = filepath.Clean(given)
		if target.Manager == upgrade.ManagerPgCtlcluster {
			target.Name = h.freeName(target.Version.Major(), target.Name)
		}
		return h.checkPgdata(ctx, target.Pgdata, source, owner)
	}
	var refused error
	for _, base := range customaryPgdata(source.Pgdata, source.Version.Major(), target.Version.Major()) {
		for _, suffix := range suffixes() {
			if target.Name != "" && h.isNameTaken(target.Version.Major(), source.Name+suffix) {
				continue
			}
			free, err := isFree(base + suffix)
			if err == nil && !free {
				continue
			}
			if err == nil {
				err = h.refuseUnmakeable(ctx, base+suffix, owner)
			}
			if err != nil {
				refused = errors.Join(refused, err)
				break // the next base is somewhere else
			}
			target.Pgdata = base + suffix
			if target.Name != "" {
				target.Name = source.Name + suffix
			}
			return nil
		}
	}
	if refused == nil {
		refused = &upgrade.Refused{Reason: "every customary data directory for the target is in use", Remedy: "choose one yourself", Cause: upgrade.CausePlace}
	}
	return refused
}

// customaryPgdata is where the target's data directory would be looked for: where the source's is, with the
// version in the path replaced (/var/lib/postgresql/15/main: /var/lib/postgresql/17/main); else, or
// if that cannot be made, beside the source's, with the version added.
func customaryPgdata(pgdata string, from, to upgrade.Major) []string {
	beside := pgdata + "-" + strconv.Itoa(int(to))
	parts := strings.Split(pgdata, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == strconv.Itoa(int(from)) {
			parts[i] = strconv.Itoa(int(to))
			return []string{strings.Join(parts, "/"), beside}
		}
	}
	return []string{beside}
}

// suffixes are tried in this order until a name is free. A dash would end a cluster's name in
// systemd's eyes (postgresql@.service has %I).
func suffixes() []string {
	suffixes := []string{"", "_pgleap"}
	for i := 2; i < 10; i++ {
		suffixes = append(suffixes, "_pgleap"+strconv.Itoa(i))
	}
	return suffixes
}

// isNameTaken tells whether postgresql-common knows a cluster by that name.
func (h *Host) isNameTaken(major upgrade.Major, name string) bool {
	return exists(h.debian.confDir(major, name))
}

func (h *Host) freeName(major upgrade.Major, name string) string {
	for _, suffix := range suffixes() {
		if !h.isNameTaken(major, name+suffix) {
			return name + suffix
		}
	}
	return name
}

// isFree tells whether a directory does not exist or is empty, with the one for an upgrade's
// files beside it (upgrade.Plan.Workdir).
func isFree(pgdata string) (bool, error) {
	for _, dir := range []string{pgdata, upgrade.Plan{Target: upgrade.Cluster{Pgdata: pgdata}}.Workdir()} {
		entries, err := os.ReadDir(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, syscall.ENOTDIR):
			return false, nil
		case err != nil:
			return false, &upgrade.Refused{Reason: fmt.Sprintf("cannot look into %s: %v", dir, err), Remedy: "choose another data directory", Cause: upgrade.CausePlace}
		case len(entries) > 0:
			return false, nil
		}
	}
	return true, nil
}

// checkPgdata refuses a directory, given by the user, that initdb would refuse later.
func (h *Host) checkPgdata(ctx context.Context, pgdata string, source upgrade.Cluster, owner run.User) error {
	if !filepath.IsAbs(pgdata) {
		return &upgrade.Refused{Reason: fmt.Sprintf("the data directory %q is not an absolute path", pgdata), Remedy: "give the whole path", Cause: upgrade.CausePlace}
	}
	if strings.HasPrefix(realPath(filepath.Dir(pgdata))+"/", realPath(source.Pgdata)+"/") {
		return &upgrade.Refused{Reason: pgdata + " lies within the source's data directory", Remedy: "choose one outside it", Cause: upgrade.CausePlace}
	}
	free, err := isFree(pgdata)
	if err != nil {
		return err
	}
	if !free {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the data directory %s, or %s.pgleap beside it, is not empty", pgdata, pgdata),
			Remedy: "choose another one, or remove what is in it",
		}
	}
	if info, err := os.Stat(pgdata); err == nil {
		if name, uid := ownerOf(info); uid != owner.UID {
			return &upgrade.Refused{
				Reason: fmt.Sprintf("the data directory %s belongs to %s, not to %s", pgdata, name, owner.Name),
				Remedy: fmt.Sprintf("remove it, or give it to %s with: chown %s %s", owner.Name, owner.Name, pgdata),
			}
		}
	}
	return h.refuseUnmakeable(ctx, pgdata, owner)
}

// refuseUnmakeable refuses a directory that we cannot make, or that its owner could not reach.
func (h *Host) refuseUnmakeable(ctx context.Context, pgdata string, owner run.User) error {
	ancestor := nearest(filepath.Dir(pgdata))
	if err := syscall.Access(ancestor, writeAndSearch); err != nil {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("cannot make the data directory %s: %s: %v", pgdata, ancestor, err),
			Remedy: "choose another one, or make that directory writable for " + owner.Name,
		}
	}
	// Whether the owner gets there depends on every directory above: the kernel answers for all.
	if _, err := h.runner.Run(ctx, run.Command{Path: "/usr/bin/test", Args: []string{"-x", ancestor}, As: owner}); err != nil {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("%s cannot reach %s, where the data directory would be", owner.Name, ancestor),
			Remedy: "choose another one",
		}
	}
	return nil
}

// writeAndSearch is W_OK and X_OK of access(2), which knows read-only file systems, too.
const writeAndSearch = 0x2 | 0x1

// nearest is a path, or what exists of those above it.
func nearest(path string) string {
	for !exists(path) {
		path = filepath.Dir(path)
	}
	return path
}

// choosePort takes the port that the user gave, or the first free one above the source's.
func (h *Host) choosePort(ctx context.Context, source upgrade.Cluster, given int) (int, error) {
	if given != 0 {
		return given, checkPort(source, given)
	}
	var reserved []int // of clusters that are down now
	for _, c := range h.debianClusters(ctx) {
		reserved = append(reserved, c.Port)
	}
	for port := max(source.Port+1, firstPort); port <= lastPort; port++ {
		if !slices.Contains(reserved, port) && checkPort(source, port) == nil {
			return port, nil
		}
	}
	return 0, &upgrade.Refused{Reason: fmt.Sprintf("no port above %d is free", source.Port), Remedy: "choose one yourself", Cause: upgrade.CausePlace}
}

const (
	firstPort = 1024 // below only root may listen
	lastPort  = 65535
)

// checkPort refuses a port on which the target could not listen: on TCP or by its socket.
func checkPort(source upgrade.Cluster, port int) error {
	if port < firstPort || port > lastPort {
		return &upgrade.Refused{Reason: fmt.Sprintf("the target cannot listen on port %d", port), Remedy: fmt.Sprintf("choose one between %d and %d", firstPort, lastPort), Cause: upgrade.CausePlace}
	}
	taken := func(by string) error {
		return &upgrade.Refused{Reason: fmt.Sprintf("port %d is taken: %s", port, by), Remedy: "choose another port, or none to have a free one chosen", Cause: upgrade.CausePlace}
	}
	if socket := (upgrade.Address{Host: source.SocketDir, Port: port}); source.SocketDir != "" && (exists(socket.String()) || exists(socket.String()+".lock")) {
		return taken(socket.String() + " exists")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return taken("somebody listens on it")
	}
	return listener.Close()
}
