package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// initdb makes a data directory. It copies one that initdb made with the same arguments before, which
// takes a twentieth of the time, and gives the copy a system identifier of its own.
func initdb(t testing.TB, o owner, bindir string, args []string, pgdata string) {
	t.Helper()
	template, err := findTemplate(t.Context(), o, bindir, args)
	if err != nil {
		t.Fatalf("make a cluster with %s: %v", filepath.Join(bindir, "initdb"), err)
	}
	if err := copyTree(t.Context(), template, pgdata); err != nil {
		t.Fatalf("copy a cluster to %s: %v", pgdata, err)
	}
	identifier := uint64(time.Now().Unix())<<32 | uint64(rand.Uint32())
	if err := setSystemIdentifier(pgdata, identifier); err != nil {
		t.Fatalf("give the cluster in %s an identity: %v", pgdata, err)
	}
}

// findTemplate returns the data directory for a program and arguments in the user's cache, made by
// whoever comes first; a lock makes the others wait.
func findTemplate(ctx context.Context, o owner, bindir string, args []string) (string, error) {
	version, err := exec.CommandContext(ctx, filepath.Join(bindir, "initdb"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask initdb for its version: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil { // there is no home directory
		cache = filepath.Join(os.TempDir(), fmt.Sprintf("pgleap-cache-%d", os.Getuid()))
	}
	cache = filepath.Join(cache, "pgleap", "pgtest")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(string(version) + o.name + "\x00" + strings.Join(args, "\x00")))
	template := filepath.Join(cache, hex.EncodeToString(sum[:8]))
	lock, err := os.OpenFile(template+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(template); err == nil {
		return template, nil
	}
	return template, makeTemplate(ctx, o, bindir, args, template)
}

// makeTemplate runs initdb below /tmp, where the owner may write, and moves the result into place
// in one step, so that there is never half a template.
func makeTemplate(ctx context.Context, o owner, bindir string, args []string, template string) error {
	scratch, err := os.MkdirTemp("/tmp", "pgleap-initdb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if o.switches {
		if err := os.Chown(scratch, o.uid, o.gid); err != nil {
			return err
		}
	}
	pgdata := filepath.Join(scratch, "data")
	args = append(args[:len(args):len(args)], "--pgdata", pgdata)
	if output, err := o.command(ctx, filepath.Join(bindir, "initdb"), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("initdb %s: %w\n%s", strings.Join(args, " "), err, tail(string(output), 20))
	}
	partial := template + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := copyTree(ctx, pgdata, partial); err != nil {
		return err
	}
	return os.Rename(partial, template)
}

// copyTree copies a directory with its owners and modes; the destination may exist if it is empty.
func copyTree(ctx context.Context, from, to string) error {
	output, err := exec.CommandContext(ctx, "cp", "-a", "-T", "--reflink=auto", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cp %s %s: %w: %s", from, to, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// setSystemIdentifier changes the identifier of a cluster that has never run: in pg_control, where it
// is the first field and a CRC-32C is the last (src/include/catalog/pg_control.h), and in the header of
// each WAL segment (src/include/access/xlog_internal.h, XLogLongPageHeaderData).
func setSystemIdentifier(pgdata string, identifier uint64) error {
	control := filepath.Join(pgdata, "global", "pg_control")
	content, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	end, err := controlLength(content)
	if err != nil {
		return fmt.Errorf("read %s: %w", control, err)
	}
	binary.NativeEndian.PutUint64(content, identifier)
	binary.NativeEndian.PutUint32(content[end:], crc32.Checksum(content[:end], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(control, content, 0o600); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(pgdata, "pg_wal", strings.Repeat("[0-9A-F]", 24)))
	if err != nil || len(segments) == 0 {
		return errors.Join(errors.New("find the cluster's WAL: none is there"), err)
	}
	for _, segment := range segments {
		if err := setSegmentIdentifier(segment, identifier); err != nil {
			return err
		}
	}
	return nil
}

// controlLength returns where the checksum of a control file stands. The versions' structures differ
// in length, so the place is the one where a checksum of all before it is found.
func controlLength(content []byte) (int, error) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for end := 64; end+4 <= min(len(content), 512); end += 4 {
		if binary.NativeEndian.Uint32(content[end:]) == crc32.Checksum(content[:end], table) {
			return end, nil
		}
	}
	return 0, errors.New("it has no valid checksum")
}

// setSegmentIdentifier writes xlp_sysid, which follows the 24 bytes of a page header.
func setSegmentIdentifier(segment string, identifier uint64) error {
	file, err := os.OpenFile(segment, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(binary.NativeEndian.AppendUint64(nil, identifier), 24)
	return errors.Join(err, file.Close())
}
