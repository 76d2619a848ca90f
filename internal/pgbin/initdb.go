package pgbin

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// LocaleProvider is where a database's collations come from.
type LocaleProvider string

// The providers of pg_database.datlocprovider.
const (
	LocaleLibc    LocaleProvider = "libc"
	LocaleICU     LocaleProvider = "icu"     // as a database's default since 15
	LocaleBuiltin LocaleProvider = "builtin" // since 17
)

// Initdb makes a data directory.
type Initdb struct {
	Bindir    string
	Version   upgrade.VersionNum // of Bindir
	Pgdata    string
	Superuser string
	Encoding  string
	// LocaleProvider is libc when empty.
	LocaleProvider LocaleProvider
	LcCollate      string
	LcCtype        string
	ICULocale      string
	ICURules       string
	BuiltinLocale  string
	// DataChecksums, WALSegmentSizeMB and AllowGroupAccess must be the source's: pg_upgrade refuses
	// clusters that differ in the first two (controldata.c, check_control_data).
	DataChecksums    bool
	WALSegmentSizeMB int // 0: initdb's default, 16
	AllowGroupAccess bool
	// WALDir is an empty directory for the WAL; without one it is in the data directory.
	WALDir string
	// NoSync leaves the flush to disk to pg_upgrade, which does it at its end.
	NoSync bool
}

// Run runs initdb. A failed initdb removes what it made itself.
func (i Initdb) Run(ctx context.Context, as Caller) error {
	args, err := i.args()
	if err != nil {
		return err
	}
	if _, err := as.run(ctx, i.Bindir, "initdb", args...); err != nil {
		return fmt.Errorf("make data directory %s: %w", i.Pgdata, err)
	}
	return nil
}

func (i Initdb) args() ([]string, error) {
	args := []string{
		"--pgdata=" + i.Pgdata,
		"--username=" + i.Superuser,
		// The first to start this cluster is pg_upgrade, with no TCP port and a socket that only
		// the owner may open (server.c, start_postmaster): trust lets the owner in, as any name of a
		// superuser. The user's pg_hba.conf replaces this before anybody else can connect.
		"--auth-local=trust",
		"--auth-host=reject",
	}
	add := func(option, value string) {
		if value != "" {
			args = append(args, option+"="+value)
		}
	}
	add("--encoding", i.Encoding)
	add("--lc-collate", i.LcCollate)
	add("--lc-ctype", i.LcCtype)
	locale, err := i.localeArgs()
	if err != nil {
		return nil, err
	}
	args = append(args, locale...)
	switch {
	case i.DataChecksums:
		args = append(args, "--data-checksums")
	case i.Version.Major() >= 18:
		args = append(args, "--no-data-checksums") // they became the default in 18
	}
	if i.WALSegmentSizeMB != 0 {
		args = append(args, "--wal-segsize="+strconv.Itoa(i.WALSegmentSizeMB))
	}
	if i.WALDir != "" {
		args = append(args, "--waldir="+i.WALDir)
	}
	if i.AllowGroupAccess {
		args = append(args, "--allow-group-access")
	}
	if i.NoSync {
		args = append(args, "--no-sync")
	}
	return args, nil
}

// localeArgs are the options that came with the locale providers.
func (i Initdb) localeArgs() ([]string, error) {
	provider, major := i.LocaleProvider, i.Version.Major()
	if provider == "" {
		provider = LocaleLibc
	}
	since := map[LocaleProvider]upgrade.Major{LocaleLibc: 0, LocaleICU: 15, LocaleBuiltin: 17}
	first, known := since[provider]
	if !known || major < first {
		return nil, &upgrade.Refused{
			Reason: fmt.Sprintf("PostgreSQL %d has no locale provider %q for databases", major, provider),
			Remedy: "choose a newer target version",
		}
	}
	if major < 15 {
		return nil, nil
	}
	args := []string{"--locale-provider=" + string(provider)}
	if provider == LocaleICU && i.ICULocale != "" {
		args = append(args, "--icu-locale="+i.ICULocale)
	}
	if provider == LocaleICU && i.ICURules != "" && major >= 16 {
		args = append(args, "--icu-rules="+i.ICURules)
	}
	if provider == LocaleBuiltin && i.BuiltinLocale != "" {
		args = append(args, "--builtin-locale="+i.BuiltinLocale)
	}
	return args, nil
}
