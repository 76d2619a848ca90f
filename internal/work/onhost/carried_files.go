package onhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// carriedFiles are the settings that name files, or a directory, which belong to an instance, with their defaults: what
// they name within the source's data directory is copied into the target's.
func carriedFiles() map[string]string {
	return map[string]string{
		"ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "ssl_ca_file": "", "ssl_crl_file": "", "ssl_crl_dir": "",
		"ssl_dh_params_file": "", "krb_server_keyfile": "",
	}
}

// keytabKind may stand before the path of a keytab (krb5_kt_resolve).
const keytabKind = "FILE:"

// settleFiles has those settings name the target's copies, as paths within a data directory. A path that is relative
// and yet leads out of it goes on leading to where it did.
func settleFiles(conf *pgconf.Conf, plan upgrade.Plan) error {
	for name := range carriedFiles() {
		value, _ := conf.Get(name)
		path := strings.TrimPrefix(value, keytabKind)
		if path == "" {
			continue
		}
		settled := path
		if inside, ok := below(path, plan.Source.Pgdata); ok {
			settled = inside
		} else if !filepath.IsAbs(path) {
			settled = filepath.Join(plan.Source.Pgdata, path)
		}
		if settled == path {
			continue
		}
		if err := conf.Set(name, strings.TrimSuffix(value, path)+settled); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// below is a path's place within a data directory, by its name or by where links above it lead.
func below(path, pgdata string) (inside string, ok bool) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(pgdata, path)
	}
	isBelow := func(path, pgdata string) bool {
		relative, err := filepath.Rel(pgdata, path)
		inside = relative
		return err == nil && relative != "." && filepath.IsLocal(relative)
	}
	if isBelow(path, pgdata) {
		return inside, true
	}
	dir, errDir := filepath.EvalSymlinks(filepath.Dir(path))
	resolved, err := filepath.EvalSymlinks(pgdata)
	if errDir == nil && err == nil && isBelow(filepath.Join(dir, filepath.Base(path)), resolved) {
		return inside, true
	}
	return "", false
}

// carriedFrom lists the places within a data directory that settled settings name, by the settings.
func carriedFrom(conf *pgconf.Conf) map[string]string {
	inside := map[string]string{}
	for name, byDefault := range carriedFiles() {
		value, ok := conf.Get(name)
		if !ok {
			value = byDefault
		}
		if path := strings.TrimPrefix(value, keytabKind); path != "" && filepath.IsLocal(path) {
			inside[name] = path
		}
	}
	return inside
}

// carryFiles copies what the settings name within the source's data directory. It acts as the owner, who may have laid
// links in both.
func carryFiles(plan upgrade.Plan, conf *pgconf.Conf, user run.User) error {
	return user.Do(func() error {
		for name, path := range carriedFrom(conf) {
			if err := carryFile(filepath.Join(plan.Source.Pgdata, path), filepath.Join(plan.Target.Pgdata, path), plan, user); err != nil {
				return fmt.Errorf("copy what %s names: %w", name, err)
			}
		}
		return nil
	})
}

// carryFile copies a file, or a directory of files. One that is not there is not needed by the source either.
func carryFile(from, to string, plan upgrade.Plan, user run.User) error {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if leadsTo, ok := linkOut(from, plan.Source.Pgdata); ok {
		return placeLink(leadsTo, to)
	}
	if !info.IsDir() {
		content, err := os.ReadFile(from) //nolint:gosec // as the owner
		if err != nil {
			return err
		}
		return writeOwned(to, content, user, 0o600)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(from, entry.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue // OpenSSL finds files by their names, and nothing below
		}
		if err := carryFile(path, filepath.Join(to, entry.Name()), plan, user); err != nil {
			return err
		}
	}
	return os.MkdirAll(to, 0o700) // though it be empty
}

// linkOut tells whether a path is a link that leads out of a data directory: what it leads to may be renewed there.
func linkOut(path, pgdata string) (leadsTo string, ok bool) {
	leadsTo, err := os.Readlink(path)
	if err != nil {
		return "", false
	}
	if !filepath.IsAbs(leadsTo) {
		leadsTo = filepath.Join(filepath.Dir(path), leadsTo)
	}
	_, inside := below(leadsTo, pgdata)
	return leadsTo, !inside
}

func placeLink(leadsTo, path string) error {
	if now, err := os.Readlink(path); err == nil && now == leadsTo {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(leadsTo, path)
}
