package onhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/verify"
)

// A snapshot lives as long as the transaction that exported it, and that as long as somebody has its
// session's socket open. So that a verification survives this process, another one of our own program
// inherits the sockets, and has nothing to do but to hold them. Everybody who compares joins the
// snapshots by their names, before such a death as after it.

// snapshotPatience is how long snapshots wait for their verification to begin, or to be taken up again.
// They keep VACUUM from its work, so nobody's are kept.
const snapshotPatience = 5 * time.Minute

// holderPatience is how long they are held when no agent lives that says it needs them, see sayNeeded.
const holderPatience = 2 * snapshotPatience

// longestHeld bounds them by the servers themselves, when their holder does not end, or goes by a clock that was set
// back.
const longestHeld = verify.DefaultMaxAge + holderPatience

// exportPatience bounds the hand-over of the snapshots.
const exportPatience = 10 * time.Second

// noteSnapshots says which snapshots are kept for a verification. Without it, nobody holds any.
const noteSnapshots note = "snapshots.json"

// snapshotHolder names the process that holds them.
const snapshotHolder = "snapshots"

// keptSnapshots are what an attempt has kept for its verification.
type keptSnapshots struct {
	Attempt int        `json:"attempt"`
	TakenAt time.Time  `json:"takenAt"`
	Pairs   []keptPair `json:"pairs"`
}

type keptPair struct {
	Database  string                 `json:"database"`
	Exported  [2]string              `json:"exported"`
	Sequences [2][]postgres.Sequence `json:"sequences"`
}

func (k keptSnapshots) pairs() []verify.Pair {
	pairs := make([]verify.Pair, len(k.Pairs))
	for i, p := range k.Pairs {
		pairs[i] = verify.Pair{
			Database: p.Database, Exported: p.Exported,
			SourceSequences: p.Sequences[verify.Source], TargetSequences: p.Sequences[verify.Target],
		}
	}
	return pairs
}

// expires is when they are let go of, come what may.
func (k keptSnapshots) expires() time.Time { return k.TakenAt.Add(verify.DefaultMaxAge) }

// snapshots are what this process knows of those that are kept, by the directory of their upgrade.
type snapshots struct {
	mu     sync.Mutex
	expiry map[string]*time.Timer
	here   map[string]switchover.Snapshots // held by this process
}

// keepSnapshots exports the snapshots of an attempt, and has their sessions held by a process that
// outlives this one, too. What goes wrong is told by the verification that does not find them.
func (w *Worker) keepSnapshots(ctx context.Context, plan upgrade.Plan, attempt int, s switchover.Snapshots) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportPatience)
	defer cancel()
	f, err := w.files(plan)
	if err == nil {
		err = w.export(ctx, f, attempt, s)
	}
	if err != nil {
		w.log.WarnContext(ctx, "the snapshots for the verification could not be kept", "task", plan.Number, "error", err)
		s.Close()
		return
	}
	if err := w.hold(ctx, f, s); err != nil {
		w.log.WarnContext(ctx, "the verification will not survive a restart of the agent", "task", plan.Number, "error", err)
	}
	w.letExpire(f)
}

// export writes down by which names the snapshots can be joined.
func (w *Worker) export(ctx context.Context, f files, attempt int, s switchover.Snapshots) error {
	kept := keptSnapshots{Attempt: attempt, TakenAt: s.TakenAt}
	for _, pair := range s.Pairs {
		p := keptPair{Database: pair.Database, Sequences: [2][]postgres.Sequence{pair.SourceSequences, pair.TargetSequences}}
		for side, conn := range []*pgx.Conn{pair.Source, pair.Target} {
			var err error
			if p.Exported[side], err = postgres.ExportSnapshot(ctx, conn); err != nil {
				return err
			}
			if err := postgres.BoundSnapshot(ctx, conn, longestHeld); err != nil {
				return err
			}
		}
		kept.Pairs = append(kept.Pairs, p)
	}
	w.snapshots.mu.Lock()
	defer w.snapshots.mu.Unlock()
	return f.write(noteSnapshots, kept)
}

// hold lets the sessions be held by a process of their own, and by this one as long as it lives.
func (w *Worker) hold(ctx context.Context, f files, s switchover.Snapshots) error {
	w.snapshots.mu.Lock()
	if w.snapshots.here == nil {
		w.snapshots.here = map[string]switchover.Snapshots{}
	}
	w.snapshots.here[f.dir] = s
	w.snapshots.mu.Unlock()
	if w.guard.Path == "" {
		return nil
	}
	var sockets []*os.File
	defer func() {
		for _, socket := range sockets {
			// Giving it away has switched the socket itself to blocking mode, which is ours, too.
			_ = syscall.SetNonblock(int(socket.Fd()), true) //nolint:gosec // it is a small number
			_ = socket.Close()
		}
	}()
	for _, conn := range sessionsOf(s) {
		socket, err := socketOf(conn)
		if err != nil {
			return err
		}
		sockets = append(sockets, socket)
	}
	_, err := w.runner.StartDetached(ctx, run.Command{
		Path: w.guard.Path, Args: append(append([]string{}, w.guard.Args...), filepath.Join(f.dir, string(noteSnapshots))),
		Files: sockets, Pidfile: f.pidfile(snapshotHolder), Transcript: f.transcript("guard"),
	})
	if err != nil {
		return fmt.Errorf("start the process that holds the snapshots: %w", err)
	}
	return nil
}

func sessionsOf(s switchover.Snapshots) (conns []*pgx.Conn) {
	for _, pair := range s.Pairs {
		conns = append(conns, pair.Source, pair.Target)
	}
	return conns
}

// socketOf duplicates the socket of a session.
func socketOf(conn *pgx.Conn) (*os.File, error) {
	raw := conn.PgConn().Conn()
	if encrypted, ok := raw.(interface{ NetConn() net.Conn }); ok { // the one below TLS will do: nothing is said any more
		raw = encrypted.NetConn()
	}
	socket, ok := raw.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("duplicate the socket of a session: %T has none", raw)
	}
	file, err := socket.File()
	if err != nil {
		return nil, fmt.Errorf("duplicate the socket of a session: %w", err)
	}
	return file, nil
}

// isSnapshots tells whether a path is that of a note on snapshots, which holdSnapshots holds.
func isSnapshots(path string) bool { return filepath.Base(path) == string(noteSnapshots) }

// holderTick is how soon a process that holds snapshots notices that they are not needed any more.
const holderTick = time.Second

// holdSnapshots is the process that has inherited the sessions of snapshots. It ends, and the sessions
// with it, when their note is gone or was not touched for long, when they are too old, or when it is told to.
func (w *Worker) holdSnapshots(ctx context.Context, path string) error {
	signal.Ignore(os.Interrupt) // who ends the agent may signal its whole session or group
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	defer signal.Stop(told)
	f := files{dir: filepath.Dir(path)}
	var kept keptSnapshots
	if found, err := f.read(noteSnapshots, &kept); err != nil || !found {
		return err
	}
	tick := time.NewTicker(holderTick)
	defer tick.Stop()
	var need need
	for w.now().Before(kept.expires()) {
		if info, err := os.Stat(path); err == nil && !need.goesOn(info.ModTime(), w.now()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-told:
			return nil
		case <-tick.C:
		}
		var now keptSnapshots
		if found, err := f.read(noteSnapshots, &now); err == nil && (!found || now.Attempt != kept.Attempt) {
			return nil
		}
	}
	return nil
}

// need is what a holder knows of it: when the note was touched last, by the clock of whoever did, and when that was
// seen.
type need struct{ touched, seen time.Time }

// goesOn tells whether somebody has said so of late. Only the holder's own clock counts.
func (n *need) goesOn(touched, now time.Time) bool {
	if !touched.Equal(n.touched) {
		*n = need{touched: touched, seen: now}
	}
	return now.Sub(n.seen) <= holderPatience
}

// sayNeeded says to who holds the snapshots of an upgrade that they are needed, now and until the end of what returns.
func (w *Worker) sayNeeded(ctx context.Context, f files) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var saying sync.WaitGroup
	saying.Go(func() {
		for {
			w.touch(f)
			if sleep(ctx, snapshotPatience/10) != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		saying.Wait()
	}
}

// touch says so once. There may be no snapshots any more.
func (w *Worker) touch(f files) {
	now := w.now()
	_ = os.Chtimes(filepath.Join(f.dir, string(noteSnapshots)), now, now)
}

// held tells whether somebody still holds the snapshots of an upgrade.
func (w *Worker) held(f files) bool {
	w.snapshots.mu.Lock()
	_, here := w.snapshots.here[f.dir]
	w.snapshots.mu.Unlock()
	return here || run.Alive(f.pidfile(snapshotHolder))
}

// letExpire ends what nobody has begun to compare in time.
func (w *Worker) letExpire(f files) {
	w.touch(f)
	w.snapshots.mu.Lock()
	defer w.snapshots.mu.Unlock()
	if w.snapshots.expiry == nil {
		w.snapshots.expiry = map[string]*time.Timer{}
	}
	if earlier := w.snapshots.expiry[f.dir]; earlier != nil {
		earlier.Stop()
	}
	w.snapshots.expiry[f.dir] = time.AfterFunc(snapshotPatience, func() {
		if err := w.endSnapshots(context.Background(), f); err != nil {
			w.log.Warn("snapshots that nobody asked for may still be held", "error", err)
		}
	})
}

// needed keeps the snapshots of an upgrade from expiring: somebody has begun to compare them.
func (w *Worker) needed(f files) {
	w.snapshots.mu.Lock()
	defer w.snapshots.mu.Unlock()
	w.stopExpiry(f)
}

func (w *Worker) stopExpiry(f files) {
	if timer := w.snapshots.expiry[f.dir]; timer != nil {
		timer.Stop()
		delete(w.snapshots.expiry, f.dir)
	}
}

// endSnapshots lets go of the snapshots of an upgrade, whoever holds them.
func (w *Worker) endSnapshots(ctx context.Context, f files) error {
	w.snapshots.mu.Lock()
	defer w.snapshots.mu.Unlock()
	return w.endHeld(ctx, f)
}

// endVerificationOf lets go of the snapshots of an attempt, and forgets what was compared of them, unless a later
// attempt has kept its own since: a verification may end that the engine has given up long ago.
func (w *Worker) endVerificationOf(ctx context.Context, f files, attempt int) error {
	w.snapshots.mu.Lock()
	defer w.snapshots.mu.Unlock()
	if keptByAnother(f, attempt) {
		return nil
	}
	return errors.Join(w.endHeld(ctx, f), f.remove(noteCompared))
}

// endHeld does so while nobody else begins to keep any. The note goes first: a process that cannot be ended by its
// pid ends without it.
func (w *Worker) endHeld(ctx context.Context, f files) error {
	w.stopExpiry(f)
	here := w.snapshots.here[f.dir]
	delete(w.snapshots.here, f.dir)
	noted := f.remove(noteSnapshots)
	here.Close()
	return errors.Join(noted, run.EndLeftover(ctx, f.pidfile(snapshotHolder)))
}

// superseded tells whether another attempt than this one has kept snapshots.
func (w *Worker) superseded(f files, attempt int) bool {
	w.snapshots.mu.Lock()
	defer w.snapshots.mu.Unlock()
	return keptByAnother(f, attempt)
}

func keptByAnother(f files, attempt int) bool {
	var kept keptSnapshots
	found, err := f.read(noteSnapshots, &kept)
	return err == nil && found && kept.Attempt != attempt
}

// dropVerification forgets what an upgrade's last attempt has kept for its verification, and what that
// came to: another attempt begins, or the upgrade ends.
func (w *Worker) dropVerification(ctx context.Context, plan upgrade.Plan) error {
	f, err := w.files(plan)
	if err != nil {
		return err
	}
	if err := errors.Join(w.endSnapshots(ctx, f), f.remove(noteCompared), f.remove(noteVerified)); err != nil {
		return fmt.Errorf("end the verification of an earlier attempt: %w", err)
	}
	return nil
}

// RecoverSnapshots looks after the snapshots that an earlier process has kept, before any step runs.
// Those that can be compared wait for that as long as they did at first; the others are let go of.
func (w *Worker) RecoverSnapshots(ctx context.Context) error {
	notes, err := filepath.Glob(filepath.Join(w.dir, "upgrades", "*", string(noteSnapshots)))
	if err != nil {
		return fmt.Errorf("look for snapshots: %w", err)
	}
	var errs []error
	for _, path := range notes {
		f := files{dir: filepath.Dir(path)}
		var kept keptSnapshots
		_, err := f.read(noteSnapshots, &kept)
		if err == nil && w.held(f) && w.now().Before(kept.expires()) {
			w.letExpire(f)
			continue
		}
		errs = append(errs, w.endSnapshots(ctx, f))
	}
	return errors.Join(errs...)
}
