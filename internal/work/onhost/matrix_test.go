package onhost

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/pgtest/content"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// matrixCell is one upgrade of the matrix.
type matrixCell struct {
	from, to int
	mode     upgrade.Mode
	transfer upgrade.Transfer // in place
	switched bool             // blue-green: clients are moved; otherwise a clone is made, and no more
	few      bool             // only the database that has most
	linked   bool             // pg_wal is a link to another directory, and so is the data directory
}

func (c matrixCell) String() string {
	how := string(c.transfer)
	if c.mode == upgrade.BlueGreen {
		how = map[bool]string{false: "clone", true: "switch"}[c.switched]
	}
	if c.linked {
		how += "-linked"
	}
	return fmt.Sprintf("%d-%d-%s-%s", c.from, c.to, c.mode, how)
}

// matrix has each pair of versions in both modes, and each way of either mode at least once.
func matrix() []matrixCell {
	inPlace := func(from, to int, transfer upgrade.Transfer, linked bool) matrixCell {
		return matrixCell{from: from, to: to, mode: upgrade.InPlace, transfer: transfer, linked: linked}
	}
	blueGreen := func(from, to int, switched, linked bool) matrixCell {
		return matrixCell{from: from, to: to, mode: upgrade.BlueGreen, switched: switched, linked: linked}
	}
	return []matrixCell{
		inPlace(13, 15, upgrade.TransferLink, false), blueGreen(13, 15, false, false),
		inPlace(13, 17, upgrade.TransferCopyFileRange, false), blueGreen(13, 17, true, false),
		inPlace(13, 18, upgrade.TransferCopy, true), blueGreen(13, 18, false, true),
		inPlace(15, 17, upgrade.TransferLink, true), blueGreen(15, 17, true, true),
		inPlace(15, 18, upgrade.TransferAuto, false), blueGreen(15, 18, false, false),
		inPlace(15, 19, upgrade.TransferSwap, false), blueGreen(15, 19, true, false),
		inPlace(17, 18, upgrade.TransferCopy, false), blueGreen(17, 18, true, false),
		inPlace(17, 18, upgrade.TransferClone, false), // where the file system has reflinks
		inPlace(17, 19, upgrade.TransferLink, false), blueGreen(17, 19, false, false),
		inPlace(18, 19, upgrade.TransferSwap, true), blueGreen(18, 19, true, true),
	}
}

// Whatever a database can hold comes over as it was, between all versions, in both modes.
func TestMatrix(t *testing.T) {
	pgtest.Matrix(t)
	var table strings.Builder
	for _, cell := range matrix() {
		began, outcome := time.Now(), "skipped"
		passed := t.Run(cell.String(), func(t *testing.T) {
			cell.upgrade(t)
			outcome = "passed" // a test that skips does not come here
		})
		if !passed {
			outcome = "failed"
		}
		line := fmt.Sprintf("%-36s %-8s %4.0f s", cell, outcome, time.Since(began).Seconds())
		t.Log(line) // at once: the whole takes long
		table.WriteString("\n" + line)
	}
	t.Log(table.String())
}

// One cell of the matrix, as a sample.
func TestMatrixSample(t *testing.T) {
	pgtest.Exhaustive(t)
	matrixCell{from: 15, to: 17, mode: upgrade.InPlace, transfer: upgrade.TransferLink, linked: true, few: true}.upgrade(t)
}

func (c matrixCell) upgrade(t *testing.T) {
	bed := newMatrixBed(t, c)
	b := bed.upgradeBed
	bed.precheck()
	before := b.dump(b.plan.Source)
	switch {
	case c.mode == upgrade.InPlace:
		b.acrossInPlace()
	case c.switched:
		bed.acrossSwitch()
	default:
		b.acrossClone()
	}
	b.sameDump(before, b.dump(b.plan.Target), c)
	b.nothingOfOurs(b.plan.Target)
	b.whereItShouldBe(c)
	b.amcheck(b.plan.Target)
}

func newMatrixBed(t *testing.T, c matrixCell) *switchBed {
	t.Helper()
	bindir := pgtest.Bindir(t, c.to)
	settings := content.Settings()
	maps.Copy(settings, map[string]string{"wal_level": "replica", "max_wal_size": "256MB"})
	options := []pgtest.Option{pgtest.Config(settings)}
	if c.transfer == upgrade.TransferClone {
		options = append(options, pgtest.Dir(filepath.Join(reflinks(t), "data")))
	}
	source := pgtest.Start(t, c.from, options...)
	content.Load(t, source, content.For{Target: c.to, Clone: c.mode == upgrade.BlueGreen, Few: c.few})
	b := &switchBed{upgradeBed: newBed(t, source, bindir)}
	b.databases = []string{"postgres", "regress"}
	if c.linked {
		b.link()
	}
	b.planUpgrade(c.to)
	b.plan.Mode, b.plan.Options.SwitchoverTimeout = c.mode, 5*time.Minute
	if c.mode == upgrade.InPlace {
		b.plan.Target.Port, b.plan.Options.Transfer = b.plan.Source.Port, c.transfer
		// Before 17 pg_upgrade keeps no subscription's position: the precheck wants each to be named.
		b.plan.Options.Accepted = []string{
			upgrade.AcceptSwap, "foreign-consumers:subscription regress.of_nobody", "foreign-consumers:subscription regress.of_slot",
		}
		return b
	}
	b.plan.Options.CloneOnly = !c.switched
	if c.switched {
		b.bouncer = pgtest.PgBouncer(t, pgtest.Target{Name: "regress", Cluster: source})
		b.plan.Endpoint = upgrade.Endpoint{
			Driver: upgrade.PgBouncer, Console: upgrade.Address{Host: "127.0.0.1", Port: b.bouncer.Port},
			ConsoleUser: "pgbouncer", Ini: b.bouncer.IniPath, Listen: upgrade.Address{Host: "127.0.0.1", Port: b.bouncer.Port},
		}
	}
	return b
}

// reflinks makes a file system in which files can share blocks, and returns where it is mounted.
func reflinks(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("mkfs.xfs")
	if err != nil {
		t.Skipf("no file system with reflinks can be made: %v (Debian: xfsprogs)", err)
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	mounted, err := os.MkdirTemp("/tmp", "pgleap-xfs-") // which every user can enter
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"truncate", "--size=3G", image}, {program, "-q", image}, {"mount", "-o", "loop", image, mounted}, {"chmod", "755", mounted},
	} {
		if output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			_ = os.Remove(mounted)
			t.Skipf("no file system with reflinks can be made: %s: %v: %s", command[0], err, output)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mounted, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		_ = os.Remove(mounted)
	})
	return mounted
}

// link moves the source's WAL and the whole data directory elsewhere, with links in their places.
func (b *upgradeBed) link() {
	b.Helper()
	b.source.Stop(b)
	for _, move := range []struct{ path, to string }{
		{filepath.Join(b.source.Pgdata, "pg_wal"), "wal disk"}, {b.source.Pgdata, "data disk"},
	} {
		disk := filepath.Join(filepath.Dir(b.source.Pgdata), move.to)
		b.must(os.Mkdir(disk, 0o700))
		b.source.Own(b, disk)
		real := filepath.Join(disk, "main")
		b.must(os.Rename(move.path, real))
		b.must(os.Symlink(real, move.path))
	}
	b.source.Restart(b)
}

// precheck wants no blocker but what the content means to have.
func (b *switchBed) precheck() {
	b.Helper()
	report, err := b.worker.Precheck(b.Context(), step.PrecheckArgs{Number: 8, ID: "00000000-0000-0000-0000-000000000008", Plan: b.plan})
	b.must(err)
	for _, finding := range report.Findings {
		b.Logf("%s %s: %s %v", finding.Severity, finding.Check, finding.Title, finding.Objects)
		// The versions on a test machine come with ICU libraries of their own.
		if finding.Severity == upgrade.Blocker && finding.Check != "collation-versions" {
			b.Errorf("the precheck finds %s, which nothing came of: %v", finding.Check, finding.Objects)
		}
	}
	if len(report.NotChecked) > 0 {
		b.Errorf("not checked: %v", report.NotChecked)
	}
}

func (b *upgradeBed) acrossInPlace() {
	b.Helper()
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.outage(); !result.Switchover.Switched {
		b.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	_, err := b.worker.FinishInPlace(b.Context(), b.plan)
	b.must(err)
	b.do("UpdateInPlace", b.worker.UpdateInPlace)
	b.do("AnalyzeInPlace", b.worker.AnalyzeInPlace)
}

func (b *upgradeBed) acrossClone() {
	b.Helper()
	b.do("PrepareCloning", b.worker.PrepareCloning)
	b.do("BaseBackup", b.worker.BaseBackup)
	b.do("StreamClone", b.worker.StreamClone)
	b.do("DetachClone", b.worker.DetachClone)
	b.do("InitTarget", b.worker.InitTarget)
	b.do("PgUpgrade", b.worker.PgUpgrade)
	b.do("StartUpgraded", b.worker.StartUpgraded)
	b.do("UpdateExtensions", b.worker.UpdateExtensions)
	b.do("CollectStatistics", b.worker.CollectStatistics)
	_, err := b.worker.FinishClone(b.Context(), b.plan)
	b.must(err)
	b.nothingOfOurs(b.plan.Source)
}

func (b *switchBed) acrossSwitch() {
	b.Helper()
	b.do("PrepareCloning", b.worker.PrepareCloning)
	b.do("BaseBackup", b.worker.BaseBackup)
	b.follow()
	if result := b.switchTo(1); !result.Switchover.Switched {
		b.Fatalf("not switched: %s", result.Switchover.Reason)
	}
	b.do("FenceForGood", b.worker.FenceForGood)
	b.do("UpdateExtensions", b.worker.UpdateExtensions)
	_, err := b.worker.Finish(b.Context(), b.plan)
	b.must(err)
}

// whereItShouldBe looks where the target's files are, and at what pgleap itself adds.
func (b *upgradeBed) whereItShouldBe(c matrixCell) {
	b.Helper()
	for _, name := range []string{"aside", `Odd space, with "quotes"`, "empty"} {
		location := b.ask(b.plan.Target, "postgres", `SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = $1`, name)[0]
		if own := strings.HasPrefix(location, tablespacesDir(b.plan)); own != (c.mode == upgrade.BlueGreen) {
			b.Errorf("tablespace %s is at %s", name, location)
		}
	}
	// vacuumdb gives up at a table whose foreign child cannot be reached; the others have statistics nevertheless.
	if got := b.ask(b.plan.Target, "regress", `SELECT count(DISTINCT tablename)::text FROM pg_stats WHERE tablename IN ('many_rows', 'sorted', 'texts')`)[0]; got != "3" {
		b.Errorf("statistics are there of %s tables out of 3", got)
	}
	if wal, err := os.Readlink(filepath.Join(b.plan.Target.Pgdata, "pg_wal")); c.linked {
		if filepath.Base(filepath.Dir(wal)) != "wal disk" {
			b.Errorf("the target's WAL is not on the disk of the source's: %q, %v", wal, err)
		}
	}
}

// target runs a program of the target's version against a cluster.
func (b *upgradeBed) targetProgram(cluster upgrade.Cluster, program string, args ...string) *exec.Cmd {
	args = append([]string{"--host=127.0.0.1", "--port=" + strconv.Itoa(cluster.Port), "--username=postgres"}, args...)
	cmd := exec.CommandContext(b.Context(), filepath.Join(b.plan.Target.Bindir, program), args...)
	cmd.Env = append(os.Environ(), "PGSSLMODE=disable")
	return cmd
}

// dump writes a cluster to a file as the target's pg_dumpall sees it, with all data.
func (b *upgradeBed) dump(cluster upgrade.Cluster) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "dump.sql")
	file, err := os.Create(path)
	b.must(err)
	defer file.Close()
	dump := b.targetProgram(cluster, "pg_dumpall", "--restrict-key=matrix")
	dump.Stdout = file
	var complaints strings.Builder
	dump.Stderr = &complaints
	if err := dump.Run(); err != nil {
		b.Fatalf("dump %s: %v\n%s", cluster, err, complaints.String())
	}
	for _, settings := range b.settingsOfRoles(cluster) { // pg_dumpall leaves some of them out
		fmt.Fprintf(file, "-- %q\n", settings)
	}
	return path
}

var spaceLocation = regexp.MustCompile(`(?m)^(CREATE TABLESPACE .*) LOCATION .*;$`)

// sameDump compares two dumps but for what the version of the server changes in them.
func (b *upgradeBed) sameDump(before, after string, c matrixCell) {
	b.Helper()
	var files []string
	for i, path := range []string{before, after} {
		plain, dump := path+".plain", withoutNoise(read(path), c.from)
		if c.mode == upgrade.BlueGreen { // on the same host its tablespaces are elsewhere
			dump = spaceLocation.ReplaceAllString(dump, "$1;")
		}
		b.must(os.WriteFile(plain, []byte(dump), 0o600))
		files = append(files, plain)
		if info, err := os.Stat(plain); err == nil && i == 0 {
			b.Logf("the dump has %d KiB", info.Size()>>10)
		}
	}
	// diff ends with 1 when they differ.
	if output, err := exec.CommandContext(b.Context(), "diff", append([]string{"--text", "--unified=2"}, files...)...).CombinedOutput(); err != nil {
		lines := strings.SplitAfterN(string(output), "\n", 301)
		b.Errorf("the dump differs (-source +target): %v\n%s", err, strings.Join(lines[:min(300, len(lines))], ""))
	}
}

// amcheck looks into every table and B-tree.
func (b *upgradeBed) amcheck(cluster upgrade.Cluster) {
	b.Helper()
	check := b.targetProgram(cluster, "pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--parent-check", "--jobs=2")
	// One database is read-only by default, another one has an event trigger that refuses every definition.
	check.Env = append(check.Env, "PGOPTIONS=-c default_transaction_read_only=off -c session_replication_role=replica")
	if output, err := check.CombinedOutput(); err != nil {
		b.Errorf("pg_amcheck: %v\n%s", err, output)
	}
}
