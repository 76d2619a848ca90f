package onhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/precheck"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Precheck looks for everything that would stop the upgrade, or lose data. It changes nothing but
// for scratch clusters beside the target's place, of the target's version and of the source's, removed when it ends. What an
// attempt that was killed left of it is removed by the next one.
func (w *Worker) Precheck(ctx context.Context, args step.PrecheckArgs) (upgrade.Report, error) {
	plan := args.Plan
	plan.Number = args.Number // transcripts are kept under the precheck's own number
	// Taken first: what changes while the checks run makes the report invalid.
	took := w.stages(ctx)
	fingerprint, err := w.Fingerprint(ctx, plan)
	if err != nil {
		return upgrade.Report{}, err
	}
	took(StageFingerprint)
	subject := precheck.Subject{
		Number: args.Number, ID: args.ID, Plan: plan,
		Source: w.host.Login(plan.Source, "postgres"), Host: w.hostFacts(ctx, plan), Log: w.log,
	}
	took("measure the host")
	subject.Host.WAL = precheck.Known(w.walPoint(ctx, plan))
	progressOf(ctx).text("making a scratch cluster of the target version")
	scratch, err := w.makeScratch(ctx, plan)
	defer scratch.remove(context.WithoutCancel(ctx))
	took("make the scratch cluster")
	if err == nil {
		subject.Host.Transfer = precheck.Known(w.foreseeTransfer(ctx, plan, scratch.dir))
		progressOf(ctx).text("running pg_upgrade --check")
		subject.Host.PgUpgrade = precheck.Known(scratch.pgUpgradeCheck(ctx))
		took(StageCheck)
		subject.Host.SchemaRehearsal.Err = scratch.keepPristine(ctx)
		progressOf(ctx).text("trying the source's configuration on the scratch cluster")
		subject.Host.Configuration = precheck.Known(scratch.configuration(ctx))
		took("try the configuration")
		subject.Target = precheck.Known(scratch.start(ctx))
		subject.Host.OpenFiles = precheck.Known(openFiles("/proc", plan.Source.Pgdata, scratch.pgdata()))
		subject.Host.Speed = precheck.Known(scratch.calibrate(ctx))
		took("start the scratch cluster, and calibrate")
		if subject.Host.SchemaRehearsal.Err == nil {
			subject.Host.SchemaRehearsal = precheck.Known(scratch.rehearseSchema(ctx, subject.Target))
		}
		took(StageRehearse)
	} else {
		subject.Host.PgUpgrade.Err, subject.Target.Err, subject.Host.Configuration.Err, subject.Host.SchemaRehearsal.Err = err, err, err, err
		subject.Host.OpenFiles.Err, subject.Host.Transfer.Err = err, err
	}
	subject.Host.Copied = precheck.Known(w.foreseeCopies(ctx, plan, subject.Host.Transfer.Value))
	progressOf(ctx).text("looking into the source's databases")
	report, err := precheck.Run(ctx, subject, w.now().UTC())
	if err != nil {
		return upgrade.Report{}, fmt.Errorf("precheck %s: %w", plan.Instance, err)
	}
	took(StageLook)
	report.Fingerprint, report.Parts = fingerprint.Sum, fingerprint.Parts
	return report, nil
}

// The stages of a precheck whose durations are looked for in the log, as the attribute "stage".
const (
	StageFingerprint = "take the fingerprint"
	StageCheck       = "run pg_upgrade --check"
	StageRehearse    = "rehearse the schema's upgrade"
	StageLook        = "look into the source"
)

// stages writes down, at debug level, how long each part of a precheck took.
func (w *Worker) stages(ctx context.Context) func(stage string) {
	begun := time.Now()
	return func(stage string) {
		w.log.DebugContext(ctx, "precheck", "stage", stage, "took", time.Since(begun))
		begun = time.Now()
	}
}

// walPoint is where the source's WAL is now.
func (w *Worker) walPoint(ctx context.Context, plan upgrade.Plan) (point precheck.WALPoint, err error) {
	err = with(ctx, w.host.Login(plan.Source, "postgres"), func(conn *pgx.Conn) (err error) {
		point, err = precheck.ReadWALPoint(ctx, conn)
		return err
	})
	return point, err
}

// Fingerprint tells what a report would see now: as long as it is the same, a report holds. The
// target's programs are part of it.
func (w *Worker) Fingerprint(ctx context.Context, plan upgrade.Plan) (upgrade.Fingerprint, error) {
	version, err := pgbin.Version(ctx, w.runner, plan.Target.Bindir)
	if err != nil {
		return upgrade.Fingerprint{}, err
	}
	path := filepath.Join(plan.Target.Bindir, "postgres")
	program, err := os.Stat(path)
	if err != nil {
		return upgrade.Fingerprint{}, fmt.Errorf("look at the target's programs: %w", err)
	}
	made := fmt.Sprintf("%d bytes of %s", program.Size(), program.ModTime().UTC())
	return precheck.Fingerprint(
		ctx, w.host.Login(plan.Source, "postgres"),
		upgrade.Part{Kind: upgrade.PartTarget, Value: version.String()},
		upgrade.Part{Kind: "target program", Name: path, Value: upgrade.HashPart(made)},
	)
}

// hostFacts measures what SQL cannot tell.
func (w *Worker) hostFacts(ctx context.Context, plan upgrade.Plan) precheck.Host {
	facts := precheck.Host{TargetProblems: w.targetProblems(ctx, plan)}
	target := existingDir(plan.Target.Pgdata)
	wal := filepath.Join(plan.Source.Pgdata, "pg_wal") // may be a link to another file system
	facts.TargetSpace = precheck.Known(freeSpace(target))
	facts.SourceSpace = precheck.Known(freeSpace(wal))
	facts.OtherBytes = precheck.Known(w.besideTablespaces(ctx, plan))
	facts.SameFileSystem = sameFileSystem(target, wal)
	facts.SourceConfiguration = precheck.Known(w.sourceConfiguration(ctx, plan))
	facts.Standbys = precheck.Known(w.standbyPlaces(ctx, plan))
	facts.CloneFrom = w.copyProblem(ctx, plan)
	facts.Dependents = precheck.Known(w.dependents(ctx, plan))
	facts.MemoryAvailable = precheck.Known(memoryAvailable())
	facts.HugePages = precheck.Known(freeHugePages("/sys/kernel/mm/hugepages", "/proc/meminfo"))
	facts.HugePagesHeld = precheck.Known(heldHugePages("/proc", plan.Source.Pgdata))
	facts.AccessControl = precheck.Known(accessControl("/sys", "/proc", plan))
	facts.ClockAdrift = precheck.Known(clockAdrift())
	return facts
}

// standbyPlaces finds the standbys, and where their successors would go.
func (w *Worker) standbyPlaces(ctx context.Context, plan upgrade.Plan) ([]precheck.Standby, error) {
	found, err := w.findStandbys(ctx, plan)
	if err != nil {
		return nil, err
	}
	var standbys []precheck.Standby
	for _, standby := range found {
		one := precheck.Standby{Standby: standby}
		if one.Problem == "" {
			place, err := w.host.ChooseTarget(ctx, step.ChooseTargetArgs{Source: *standby.Cluster, Major: plan.Target.Version.Major()})
			if err != nil {
				one.Problem = err.Error()
			}
			space, err := freeSpace(existingDir(place.Pgdata))
			if one.Problem == "" && err != nil {
				return nil, err
			}
			one.Place, one.Free = place.Pgdata, space.Bytes
		}
		standbys = append(standbys, one)
	}
	return standbys, nil
}

// targetProblems asks for the target's place once more, as the plan has it: it may have been taken since.
func (w *Worker) targetProblems(ctx context.Context, plan upgrade.Plan) []string {
	port := plan.Target.Port
	if plan.Mode == upgrade.InPlace {
		port = 0 // the target takes over the source's, which is in use until then
	}
	_, err := w.host.ChooseTarget(ctx, step.ChooseTargetArgs{
		Source: plan.Source, Major: plan.Target.Version.Major(), Pgdata: plan.Target.Pgdata, Port: port,
	})
	var problems []string
	for _, err := range []error{err, w.tablespacesTaken(ctx, plan)} {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}

// tablespacesTaken refuses where the clone's tablespaces could not be put. In place they stay where they are.
func (w *Worker) tablespacesTaken(ctx context.Context, plan upgrade.Plan) error {
	if plan.Mode == upgrade.InPlace || !isTaken(tablespacesDir(plan)) {
		return nil
	}
	spaces, err := w.tablespaces(ctx, plan)
	if err != nil || len(spaces) == 0 {
		return err
	}
	return taken(tablespacesDir(plan))
}

// existingDir is a path, or the nearest directory above it that exists.
func existingDir(path string) string {
	for {
		_, err := os.Stat(path)
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// freeSpace is what somebody other than root may still use of a file system.
func freeSpace(dir string) (precheck.Space, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return precheck.Space{}, fmt.Errorf("measure the file system of %s: %w", dir, err)
	}
	space := precheck.Space{Bytes: int64(stat.Bavail) * stat.Bsize} //nolint:gosec // no disk has 2^63 bytes
	if stat.Files > 0 {
		space.Inodes = max(1, int64(stat.Ffree)) //nolint:gosec // nor inodes
	}
	return space, nil
}

func sameFileSystem(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA != nil || errB != nil {
		return false
	}
	statA, okA := infoA.Sys().(*syscall.Stat_t)
	statB, okB := infoB.Sys().(*syscall.Stat_t)
	return okA && okB && statA.Dev == statB.Dev
}

// memoryAvailable is the kernel's own estimate (proc(5), MemAvailable).
func memoryAvailable() (int64, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemAvailable:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo does not tell MemAvailable")
}
