package pgbin

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
)

func TestKnownSettings(t *testing.T) {
	asked := []string{"SHARED_buffers", "trace_sort", "operator_precedence_warning", "force_parallel_mode", "debug_parallel_query", "no_such_setting", "auto_explain.log_min_duration", "bad name"}
	wantTaken := map[int][]string{ // of those asked for, what is not described but taken
		13: {"trace_sort"}, // the other two are described or gone
		15: {"trace_sort", "force_parallel_mode"},
		17: {"trace_sort", "debug_parallel_query"},
		18: {"trace_sort", "debug_parallel_query"},
		19: {"trace_sort", "debug_parallel_query"},
	}
	for _, major := range pgtest.Versions(t) {
		cluster := pgtest.Start(t, major)
		as, _ := callerFor(t, cluster)
		names, err := KnownSettings(t.Context(), as, cluster.Bindir, asked)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) < 250 || !slices.Contains(names, "shared_buffers") || slices.Contains(names, "no_such_setting") {
			t.Errorf("%d knows %d settings: %v", major, len(names), names)
		}
		for _, name := range wantTaken[major] {
			if !slices.Contains(names, name) {
				t.Errorf("%d takes %s, but it is not listed", major, name)
			}
		}
		port, err := Setting(t.Context(), as, cluster.Bindir, cluster.Pgdata, "port")
		if err != nil || port != strconv.Itoa(cluster.Port) {
			t.Errorf("port of %d is %q, %v; want %d", major, port, err, cluster.Port)
		}
	}
}

func TestDescribedSettings(t *testing.T) {
	output := "archive_command\tsighup\tWrite-Ahead Log / Archiving\tSTRING\t\t\t\tSets the command.\t\n" +
		"DateStyle\tuser\tClient\tSTRING\tISO, MDY\t\t\tSets the format.\t\n" +
		"port\tpostmaster\tConnections\tINTEGER\t0\t1\t65535\tSets the port.\t\n" +
		"\tno name\nno tab\nnot a name\tuser\n"
	if got, want := describedSettings(output), []string{"archive_command", "DateStyle", "port"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzDescribedSettings: whatever a program writes, what is taken from it are names that postgresql.conf may
// have, since they are written to one.
func FuzzDescribedSettings(f *testing.F) {
	for _, output := range []string{"port\tpostmaster\n", "a\nb\t", "x = 'y'\t\n", "\t\t\n", "a\x00b\t", "ä\t"} {
		f.Add(output)
	}
	f.Fuzz(func(t *testing.T, output string) {
		for _, name := range describedSettings(output) {
			if !settingName.MatchString(name) || strings.ContainsAny(name, " \t\n='\\\x00") || !strings.Contains(output, name+"\t") {
				t.Errorf("%q is taken for a name", name)
			}
		}
	})
}

func TestCheckConfiguration(t *testing.T) {
	cluster := pgtest.Start(t, 17)
	as, dir := callerFor(t, cluster)
	if err := CheckConfiguration(t.Context(), as, cluster.Bindir, cluster.Pgdata); err != nil {
		t.Errorf("configuration of a running cluster: %v", err)
	}
	writeFile(t, dir+"/postgresql.conf", "shared_bufers = 1GB\nport = 5432\nwork_mums = 1\n")
	err := CheckConfiguration(t.Context(), as, cluster.Bindir, dir)
	if err == nil || !strings.Contains(err.Error(), "shared_bufers") || !strings.Contains(err.Error(), "work_mums") {
		t.Errorf("misspelt settings: %v", err)
	}
}
