package onhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// noteStreamed tells which standbys of this host have streamed from the source since the upgrade began.
const noteStreamed note = "standbys.streamed.json"

// standbyReturn is how long such a one is waited for that does not stream now: it looks for its primary every
// 5 seconds (wal_retrieve_retry_interval).
const standbyReturn = 15 * time.Second

// lookForStandbys is findStandbys, at a moment at which one that has streamed before may be away: it is waited for, and
// is among what is found even if its server does not run.
func (w *Worker) lookForStandbys(ctx context.Context, plan upgrade.Plan) ([]upgrade.Standby, error) {
	files, err := w.files(plan)
	if err != nil {
		return nil, err
	}
	var streamed []upgrade.Standby
	if _, err := files.read(noteStreamed, &streamed); err != nil {
		return nil, err
	}
	streamed = slices.DeleteFunc(streamed, isStandbyNoMore)
	deadline := time.Now().Add(standbyReturn)
	for {
		found, err := w.findStandbys(ctx, plan)
		if err != nil {
			return nil, err
		}
		away := awayOf(streamed, found)
		if len(away) == 0 || plan.Options.SkipStandbys || time.Now().After(deadline) {
			return append(found, notSeen(away, found)...), files.write(noteStreamed, addStreaming(streamed, found))
		}
		progressOf(ctx).text(fmt.Sprintf("waiting for standby %s, which has streamed from the source", away[0].Name))
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// isStandbyNoMore tells of a standby that was removed or promoted: nobody expects it.
func isStandbyNoMore(s upgrade.Standby) bool {
	_, err := os.Lstat(filepath.Join(s.Cluster.Pgdata, "standby.signal"))
	return os.IsNotExist(err)
}

// awayOf are those of the standbys that streamed which do not now.
func awayOf(streamed, found []upgrade.Standby) (away []upgrade.Standby) {
	for _, s := range streamed {
		if !slices.ContainsFunc(found, func(f upgrade.Standby) bool { return f.Problem == "" && isSameStandby(f, s) }) {
			away = append(away, s)
		}
	}
	return away
}

// notSeen are those of them that do not run.
func notSeen(away, found []upgrade.Standby) (unseen []upgrade.Standby) {
	for _, s := range away {
		if !slices.ContainsFunc(found, func(f upgrade.Standby) bool { return isSameStandby(f, s) }) {
			s.Problem = "it has streamed from the source in this upgrade, and does not run now"
			unseen = append(unseen, s)
		}
	}
	return unseen
}

// addStreaming adds those that stream now, without what may hold a password.
func addStreaming(streamed, found []upgrade.Standby) []upgrade.Standby {
	for _, f := range found {
		if f.Problem == "" && !slices.ContainsFunc(streamed, func(s upgrade.Standby) bool { return isSameStandby(s, f) }) {
			f.CommandLine = nil
			streamed = append(streamed, f)
		}
	}
	return streamed
}

// isMissed tells of a standby that the target is to have, and will not.
func isMissed(plan upgrade.Plan, s upgrade.Standby) bool {
	return s.Problem != "" && !plan.Options.SkipStandbys && !plan.Options.AcceptsObject("standbys", s.Name)
}

// standbysReady refuses a switch that is to wait for standbys, where one of them cannot be made, before anybody waits.
func (w *Worker) standbysReady(plan upgrade.Plan) error {
	if !plan.Options.WaitForStandbys {
		return nil
	}
	_, records, err := w.standbyRecords(plan)
	if err != nil {
		return err
	}
	var missed []string
	for _, r := range records.All {
		if r.Stage == standbyFound && isMissed(plan, r.Standby) {
			missed = append(missed, fmt.Sprintf("standby %s: %s", r.Name, r.Problem))
		}
	}
	if len(missed) == 0 {
		return nil
	}
	return &upgrade.Refused{
		Reason: "the target would lack standbys that its clients are to wait for: " + strings.Join(missed, "; "),
		Remedy: "let them stream from the source, or remove them, and try again; an upgrade that accepts them (standbys:NAME) goes ahead without",
		Cause:  upgrade.CauseStandbys,
	}
}
