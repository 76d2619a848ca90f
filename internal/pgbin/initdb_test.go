package pgbin

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestInitdbArgs(t *testing.T) {
	always := []string{"--pgdata=/d", "--username=u", "--auth-local=trust", "--auth-host=reject"}
	for name, test := range map[string]struct {
		initdb Initdb
		want   []string // after those always there; nil: refused
	}{
		"14 knows no providers":           {Initdb{Version: 140000}, []string{}},
		"14 with checksums":               {Initdb{Version: 140000, DataChecksums: true}, []string{"--data-checksums"}},
		"14 has no ICU databases":         {Initdb{Version: 140000, LocaleProvider: LocaleICU}, nil},
		"15 libc":                         {Initdb{Version: 150018, Encoding: "UTF8", LcCollate: "C", LcCtype: "C"}, []string{"--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C", "--locale-provider=libc"}},
		"15 has no ICU rules":             {Initdb{Version: 150018, LocaleProvider: LocaleICU, ICULocale: "de", ICURules: "&a<b"}, []string{"--locale-provider=icu", "--icu-locale=de"}},
		"16 has ICU rules":                {Initdb{Version: 160000, LocaleProvider: LocaleICU, ICULocale: "de", ICURules: "&a<b"}, []string{"--locale-provider=icu", "--icu-locale=de", "--icu-rules=&a<b"}},
		"16 has no builtin provider":      {Initdb{Version: 160000, LocaleProvider: LocaleBuiltin}, nil},
		"17 builtin":                      {Initdb{Version: 170011, LocaleProvider: LocaleBuiltin, BuiltinLocale: "C.UTF-8"}, []string{"--locale-provider=builtin", "--builtin-locale=C.UTF-8"}},
		"17 without checksums needs none": {Initdb{Version: 170011}, []string{"--locale-provider=libc"}},
		"18 must be told":                 {Initdb{Version: 180006}, []string{"--locale-provider=libc", "--no-data-checksums"}},
		"18 with checksums":               {Initdb{Version: 180006, DataChecksums: true}, []string{"--locale-provider=libc", "--data-checksums"}},
		"WAL elsewhere":                   {Initdb{Version: 170011, WALDir: "/wal/a b"}, []string{"--locale-provider=libc", "--waldir=/wal/a b"}},
		"segments, group, sync":           {Initdb{Version: 170011, WALSegmentSizeMB: 64, AllowGroupAccess: true, NoSync: true}, []string{"--locale-provider=libc", "--wal-segsize=64", "--allow-group-access", "--no-sync"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.initdb.Pgdata, test.initdb.Superuser = "/d", "u"
			got, err := test.initdb.args()
			if test.want == nil {
				if _, refused := errors.AsType[*upgrade.Refused](err); !refused {
					t.Errorf("args = %v, %v; want a refusal", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(slices.Concat(always, test.want), got); diff != "" {
				t.Errorf("args (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInitdbMakesWhatControldataTells(t *testing.T) {
	for _, major := range pgtest.Versions(t) {
		bindir := pgtest.Bindir(t, major)
		source := pgtest.Start(t, major)
		as, dir := callerFor(t, source)
		pgdata := filepath.Join(dir, "data")
		initdb := Initdb{
			Bindir: bindir, Version: versionOf(t, as, bindir), Pgdata: pgdata, Superuser: "boss", Encoding: "UTF8",
			LcCollate: "C.UTF-8", LcCtype: "C.UTF-8", DataChecksums: true, WALSegmentSizeMB: 4, NoSync: true,
		}
		if err := initdb.Run(t.Context(), as); err != nil {
			t.Fatal(err)
		}
		data, err := PgControldata(t.Context(), as, bindir, pgdata)
		if err != nil {
			t.Fatal(err)
		}
		if !data.DataChecksums || data.WALSegmentSize != 4<<20 || data.State != StateShutDown || data.BlockSize != 8192 {
			t.Errorf("control data of %d: %+v", major, data)
		}
		running, err := PgControldata(t.Context(), as, bindir, source.Pgdata)
		if err != nil {
			t.Fatal(err)
		}
		if running.State != StateInProduction || running.DataChecksums || running.WALLevel != "logical" || running.TimelineID != 1 || running.CheckpointLSN == "" {
			t.Errorf("control data of a running %d: %+v", major, running)
		}
		if err := initdb.Run(t.Context(), as); err == nil {
			t.Error("initdb over a cluster is no error")
		}
		transcript, err := os.ReadFile(as.Transcript)
		if err != nil || !strings.Contains(string(transcript), "exists but is not empty") {
			t.Errorf("the transcript does not tell why: %v\n%s", err, transcript)
		}
	}
}
