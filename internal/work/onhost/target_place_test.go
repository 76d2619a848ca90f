package onhost

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// placeBed is two upgrades with the same place for their targets, and a clock that goes on with every look.
type placeBed struct {
	*testing.T
	worker        *Worker
	first, second upgrade.Plan
}

func newPlaceBed(t *testing.T) *placeBed {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, clock := t.TempDir(), time.Unix(0, 0)
	plan := upgrade.Plan{
		Number: 7, ID: "a", Source: upgrade.Cluster{Pgdata: filepath.Join(dir, "source"), Owner: me.Username},
		Target: upgrade.Cluster{Pgdata: filepath.Join(dir, "target")},
	}
	b := &placeBed{T: t, first: plan, second: plan, worker: &Worker{dir: filepath.Join(dir, "agent"), now: func() time.Time {
		clock = clock.Add(time.Second)
		return clock
	}}}
	b.second.Number, b.second.ID, b.second.Source.Pgdata = 8, "b", filepath.Join(dir, "other")
	return b
}

func (b *placeBed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *placeBed) files(plan upgrade.Plan) files {
	b.Helper()
	files, err := b.worker.files(plan)
	b.must(err)
	return files
}

// take takes the place, and notes what is written before anything is made in it.
func (b *placeBed) take(plan upgrade.Plan, begun note) error {
	b.Helper()
	files := b.files(plan)
	if err := b.worker.takePlace(plan, files); err != nil {
		return err
	}
	b.must(files.write(begun, b.worker.now()))
	return nil
}

func (b *placeBed) stranger(plan upgrade.Plan) string {
	b.Helper()
	stranger, err := b.worker.stranger(plan, b.files(plan))
	b.must(err)
	return stranger
}

// outage writes a journal up to a stage.
func (b *placeBed) outage(plan upgrade.Plan, stage outageStage) {
	b.Helper()
	path, err := b.worker.outagePath(plan)
	b.must(err)
	journal, err := openOutage(b.Context(), path, b.worker.now)
	b.must(err)
	defer journal.close()
	b.must(journal.write(outageRecord{Stage: outagePausing, Intent: &outageIntent{Plan: plan}}))
	b.must(journal.write(outageRecord{Stage: stage}))
}

func (b *placeBed) owner() run.User {
	b.Helper()
	user, err := owner(b.first)
	b.must(err)
	return user
}

// makeCluster puts a pg_control of some cluster into the target's place.
func (b *placeBed) makeCluster(control string) {
	b.Helper()
	path := controlFile(b.first.Target.Pgdata)
	b.must(errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(control), 0o600)))
}

// A place is one upgrade's as long as that may have to undo something there, and the next one's from then on.
func TestTakePlace(t *testing.T) {
	for _, c := range []struct {
		name    string
		begun   note
		then    func(b *placeBed)
		refused string // the second upgrade is, with these words; empty: it is not
	}{
		{"an upgrade that is not undone", noteSourcePrepared, func(*placeBed) {}, "upgrade 7 has made something in"},
		{"an upgrade in place that is not undone", noteInPlaceBegun, func(*placeBed) {}, "upgrade 7 has made something in"},
		{"one that is undone", noteSourcePrepared, func(b *placeBed) { b.must(b.files(b.first).remove(noteSourcePrepared)) }, ""},
		{"one that has happened in place", noteInPlaceBegun, func(b *placeBed) { b.outage(b.first, outageDone) }, ""},
		{"one whose outage went back", noteInPlaceBegun, func(b *placeBed) { b.outage(b.first, outageUndone) }, "upgrade 7 has made something in"},
		{"another place", noteSourcePrepared, func(b *placeBed) { b.second.Target.Pgdata += "2" }, ""},
		{"another place, but an outage of the same source", noteInPlaceBegun, func(b *placeBed) {
			b.second.Target.Pgdata += "2"
			b.second.Source = b.first.Source
			b.outage(b.first, outageUndoing)
		}, "the outage of upgrade 7 of the same source is not ended yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newPlaceBed(t)
			b.must(b.take(b.first, c.begun))
			b.must(b.take(b.first, c.begun)) // again, as a repeated step does
			c.then(b)
			err := b.take(b.second, noteSourcePrepared)
			refused, is := errors.AsType[*upgrade.Refused](err)
			if is != (c.refused != "") || is && !strings.Contains(refused.Reason, c.refused) || err != nil && !is {
				t.Fatalf("taken by the second: %v", err)
			}
			if is { // for when nobody can undo the first one any more
				words := strings.Fields(refused.Remedy)
				b.must(os.RemoveAll(words[len(words)-1]))
				b.must(b.take(b.second, noteSourcePrepared))
				return
			}
			if stranger := b.stranger(b.second); err == nil && stranger != "" {
				t.Errorf("the second one does not find its own: %s", stranger)
			}
			taken := err == nil && b.first.Target.Pgdata == b.second.Target.Pgdata
			if stranger := b.stranger(b.first); (stranger == "upgrade 8 has taken it since") != taken {
				t.Errorf("the first one finds %q", stranger)
			}
		})
	}
}

// What an upgrade has made is known by more than its path.
func TestStranger(t *testing.T) {
	for _, c := range []struct {
		name     string
		do       func(b *placeBed, files files)
		stranger bool
	}{
		{"nothing is there", func(*placeBed, files) {}, false},
		{"what initdb left in the middle", func(b *placeBed, _ files) { b.makeCluster("1234567890") }, false},
		{"what initdb made", func(b *placeBed, files files) {
			b.makeCluster("1234567890")
			b.must(b.worker.noteIdentity(b.first, files, b.owner()))
		}, false},
		{"the same, used", func(b *placeBed, files files) {
			b.makeCluster("1234567890")
			b.must(b.worker.noteIdentity(b.first, files, b.owner()))
			b.makeCluster("12345678xx")
		}, false},
		{"the same, whose pg_control was being written", func(b *placeBed, files files) {
			b.makeCluster("1234567890")
			b.must(b.worker.noteIdentity(b.first, files, b.owner()))
			b.makeCluster("12")
		}, false},
		{"another cluster", func(b *placeBed, files files) {
			b.makeCluster("1234567890")
			b.must(b.worker.noteIdentity(b.first, files, b.owner()))
			b.makeCluster("123456x890")
		}, true},
		{"one that is made anew", func(b *placeBed, files files) {
			b.makeCluster("1234567890")
			b.must(b.worker.noteIdentity(b.first, files, b.owner()))
			b.must(b.worker.forgetIdentity(b.first, files))
			b.makeCluster("123456x890")
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newPlaceBed(t)
			files := b.files(b.first)
			b.must(b.take(b.first, noteSourcePrepared))
			c.do(b, files)
			if stranger := b.stranger(b.first); (stranger != "") != c.stranger {
				t.Errorf("stranger: %q", stranger)
			}
		})
	}
}

// endsOutageBeside ends an outage whose source could not be put back before, while a server runs that somebody has
// made in the target's place.
func (b *upgradeBed) endsOutageBeside(as pgbin.Caller) {
	b.Helper()
	server := pgbin.PgCtl{Bindir: b.plan.Target.Bindir, Pgdata: b.plan.Target.Pgdata}
	options := pgbin.Options("port="+strconv.Itoa(pgtest.FreePort(b)), "listen_addresses=", "unix_socket_directories="+b.plan.Target.Pgdata)
	b.must(server.Start(b.Context(), as, filepath.Join(b.plan.Target.Pgdata, "log"), options, time.Minute))
	user, err := owner(b.plan)
	b.must(err)
	intent := outageIntent{Plan: b.plan}
	intent.Start, err = b.worker.howStarted(b.Context(), b.plan, user)
	b.must(err)
	path, err := b.worker.outagePath(b.plan)
	b.must(err)
	journal, err := openOutage(b.Context(), path, b.worker.now)
	b.must(err)
	b.must(journal.write(outageRecord{Stage: outagePausing, Intent: &intent}))
	b.must(journal.write(outageRecord{Stage: outageUndoing, Reason: "the source did not start"}))
	journal.close()
	before, _ := pgbin.RunningPostmaster(server.Pgdata)
	b.must(b.worker.RecoverInPlace(b.Context()))
	if after, running := pgbin.RunningPostmaster(server.Pgdata); !running || after.Pid != before.Pid {
		b.Errorf("the other cluster's server was %+v, and is %+v", before, after)
	}
	if stage := b.stage(); stage != outageUndone {
		b.Errorf("the journal says %q", stage)
	}
	b.must(server.Stop(b.Context(), as, pgbin.StopFast, time.Minute))
}

// A cluster that somebody has made where the target was, while that could not be discarded, is neither stopped nor
// removed, and the upgrade ends nevertheless.
func TestDiscardLeavesStrangersAlone(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferLink)
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	later := b.plan
	later.Number++
	if _, err := b.worker.PrepareInPlace(t.Context(), later); err == nil || !strings.Contains(err.Error(), "upgrade 7 has made something in") {
		t.Errorf("another upgrade has taken the same place: %v", err)
	}
	pgdata := b.plan.Target.Pgdata
	b.must(emptyDir(pgdata))
	as, err := b.worker.caller(b.plan, "initdb")
	b.must(err)
	b.must(pgbin.Initdb{Bindir: b.plan.Target.Bindir, Version: b.plan.Target.Version, Pgdata: pgdata, Superuser: "postgres", NoSync: true}.Run(t.Context(), as))
	b.endsOutageBeside(as)
	var told []upgrade.Event
	for range 2 {
		done, err := b.worker.DiscardInPlace(t.Context(), b.plan)
		b.must(err)
		told = append(told, done.Events...)
	}
	if len(told) != 1 || !strings.Contains(told[0].Text, "is left alone: it holds another cluster") {
		t.Errorf("told: %+v", told)
	}
	if _, err := os.Stat(controlFile(pgdata)); err != nil {
		t.Errorf("the other cluster is gone: %v", err)
	}
	if _, err := b.worker.PrepareInPlace(t.Context(), later); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("the place is free, and taken: %v", err)
	}
	b.must(os.RemoveAll(pgdata))
	b.must(os.RemoveAll(b.plan.Workdir()))
	discarded := twice(b, "Discard", func(ctx context.Context) (step.Done, error) { return b.worker.Discard(ctx, later) })
	if _, err := os.Stat(pgdata); err == nil {
		t.Errorf("the target is there again, after %+v", discarded)
	}
}
