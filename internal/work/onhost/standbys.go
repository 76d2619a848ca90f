package onhost

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// noteStandbys tells which standbys the source had, and how far their successors are.
const noteStandbys note = "standbys.json"

// standbyStage is how far the successor of a standby is.
type standbyStage string

const (
	standbyFound   standbyStage = ""        // nothing was made
	standbyBegun   standbyStage = "begun"   // its place is chosen, and what is in it is this upgrade's
	standbyCopied  standbyStage = "copied"  // the base backup is complete
	standbyStreams standbyStage = "streams" // it has streamed from the target
)

// standbyRecord is a standby of the source with its successor.
type standbyRecord struct {
	upgrade.Standby
	Stage     standbyStage    `json:"stage,omitempty"`
	Successor upgrade.Cluster `json:"successor"`
	MadeDir   bool            `json:"madeDir,omitempty"`  // its data directory was not there before
	Parents   []string        `json:"parents,omitempty"`  // directories that were made above it
	MadeSlot  bool            `json:"madeSlot,omitempty"` // or about to be, on the target
	// MadeSpaces says that the directory of its tablespaces is this upgrade's, or is about to be.
	MadeSpaces bool `json:"madeSpaces,omitempty"`
	// WAL is the directory that was made for its WAL, or is about to be; empty: it is in the data directory.
	WAL string `json:"wal,omitempty"`
	// Clearing says that what is in its place is being removed.
	Clearing bool `json:"clearing,omitempty"`
	// GivenUp tells why a successor that was there is made again.
	GivenUp string `json:"givenUp,omitempty"`
}

// standbyRecords is the content of noteStandbys.
type standbyRecords struct {
	// SynchronousNames is the source's synchronous_standby_names.
	SynchronousNames string `json:"synchronousNames,omitempty"`
	// SynchronousBegun says that the target was given them, or is about to be, and is not yet known to commit.
	SynchronousBegun bool            `json:"synchronousBegun,omitempty"`
	All              []standbyRecord `json:"all"`
}

func (r standbyRecords) begun() bool {
	for _, one := range r.All {
		if one.Stage != standbyFound {
			return true
		}
	}
	return false
}

// standbyRecords reads what is noted of the standbys of an upgrade; nothing, if nothing is.
func (w *Worker) standbyRecords(plan upgrade.Plan) (files files, records standbyRecords, err error) {
	if files, err = w.files(plan); err == nil {
		_, err = files.read(noteStandbys, &records)
	}
	return files, records, err
}

// surveyStandbys notes which standbys the source has, while it serves. What was found before counts no
// more, but for those whose successors have been begun.
func (w *Worker) surveyStandbys(ctx context.Context, plan upgrade.Plan) error {
	files, records, err := w.standbyRecords(plan)
	if err != nil {
		return err
	}
	found, err := w.lookForStandbys(ctx, plan)
	if err != nil {
		return err
	}
	for i := range found {
		standby := &found[i]
		delete(standby.CommandLine, "primary_conninfo") // which may hold a password
		if plan.Options.SkipStandbys && standby.Problem == "" {
			standby.Problem = "standbys are left to you in this upgrade"
		}
	}
	records.All = mergeStandbys(records.All, found)
	err = with(ctx, w.host.Login(plan.Source, "postgres"), func(conn *pgx.Conn) error {
		settings, err := postgres.ReadSettings(ctx, conn)
		records.SynchronousNames = settings.Text("synchronous_standby_names")
		return err
	})
	if err != nil {
		return err
	}
	return files.write(noteStandbys, records)
}

// mergeStandbys adds what was found to the records of what has been begun.
func mergeStandbys(records []standbyRecord, found []upgrade.Standby) []standbyRecord {
	merged := []standbyRecord{}
	for _, r := range records {
		if r.Stage != standbyFound {
			merged = append(merged, r)
		}
	}
	begun := len(merged)
	for _, standby := range found {
		i := slices.IndexFunc(merged[:begun], func(r standbyRecord) bool { return isSameStandby(r.Standby, standby) })
		if i < 0 {
			merged = append(merged, standbyRecord{Standby: standby})
		} else if standby.Problem == "" { // it streams now: it is known whether commits wait for it
			merged[i].Synchronous = standby.Synchronous
		}
	}
	return merged
}

// isSameStandby tells whether two looks at the source have seen one standby, by its data directory if that is
// known.
func isSameStandby(a, b upgrade.Standby) bool {
	if a.Cluster != nil && b.Cluster != nil {
		return a.Cluster.Pgdata == b.Cluster.Pgdata
	}
	return a.Name == b.Name && a.Slot == b.Slot && a.Address == b.Address
}

// findStandbys lists the standbys of the source: what streams from it, each with its cluster if that is on
// this host, and then those of this host that do not stream from it now.
func (w *Worker) findStandbys(ctx context.Context, plan upgrade.Plan) ([]upgrade.Standby, error) {
	var rows []postgres.StandbyRow
	err := with(ctx, w.host.Login(plan.Source, "postgres"), func(conn *pgx.Conn) (err error) {
		rows, err = postgres.ReadStandbys(ctx, conn)
		return err
	})
	if err != nil {
		return nil, err
	}
	locals, err := w.host.Standbys(ctx, plan.Source)
	if err != nil {
		return nil, err
	}
	return matchStandbys(plan.Source, rows, locals, isOwnSender), nil
}

// matchStandbys finds which cluster of this host is which of those that stream from the source.
func matchStandbys(source upgrade.Cluster, rows []postgres.StandbyRow, locals []postmaster.LocalStandby, isOwn func(string) bool) []upgrade.Standby {
	var standbys []upgrade.Standby
	taken := make([]bool, len(locals))
	for _, row := range rows {
		standby := upgrade.Standby{Name: row.Name, Address: row.Address, User: row.User, Slot: row.Slot, Synchronous: row.Synchronous}
		standby.Problem = "it is not on this host"
		if isOwn(row.Address) {
			standby.Problem = "its data directory cannot be told on this host"
			for i, local := range locals {
				if !taken[i] && isRow(source, local, row, isOwn) {
					taken[i] = true
					standby.Cluster, standby.Sender, standby.CommandLine = &local.Cluster, local.Self.Sender, local.CommandLine
					standby.Problem = obstacle(source, local)
					break
				}
			}
		}
		standbys = append(standbys, standby)
	}
	for i, local := range locals {
		if taken[i] {
			continue
		}
		standby := upgrade.Standby{Name: applicationName(local.Self), Slot: local.Self.Slot, Cluster: &local.Cluster, Problem: local.Problem}
		switch {
		case local.Problem != "":
		case local.Self.Streams:
			from := ""
			if !isOwn(local.Self.Sender) {
				from = " of " + local.Self.Sender
			}
			standby.Problem = fmt.Sprintf("it streams from port %d%s, not from the source itself", local.Self.Port, from)
		default:
			standby.Problem = "it does not stream from the source now"
		}
		standbys = append(standbys, standby)
	}
	return standbys
}

// isRow tells whether a standby of this host is the one that the source sees.
func isRow(source upgrade.Cluster, local postmaster.LocalStandby, row postgres.StandbyRow, isOwn func(string) bool) bool {
	return local.Self.Streams && isOwn(local.Self.Sender) && local.Self.Port == source.Port && local.Self.Slot == row.Slot && applicationName(local.Self) == row.Name
}

// applicationName is what a standby calls itself (walreceiver.c, WalReceiverMain).
func applicationName(self postgres.StandbySelf) string {
	conninfo, err := pgconf.ParseConninfo(self.Conninfo)
	if name := conninfo.Get("application_name"); err == nil && name != "" {
		return name
	}
	if self.ClusterName != "" {
		return self.ClusterName
	}
	return "walreceiver"
}

// obstacle tells why no successor of a standby can be made.
func obstacle(source upgrade.Cluster, local postmaster.LocalStandby) string {
	conninfo, err := pgconf.ParseConninfo(local.Self.Conninfo)
	switch {
	case local.Problem != "":
		return local.Problem
	case local.Cluster.Owner != source.Owner:
		return fmt.Sprintf("it belongs to %s, the source to %s", local.Cluster.Owner, source.Owner)
	case err != nil:
		return "its primary_conninfo: " + err.Error()
	case local.CommandLine["primary_conninfo"] != "":
		return "its primary_conninfo stands on its command line"
	case conninfo.Get("service") != "":
		return "its primary_conninfo names a service"
	}
	return ""
}

// isOwnSender tells whether what pg_stat_wal_receiver or a primary_conninfo has for a host is this one: a name, an
// address, or the directory of a Unix socket.
func isOwnSender(host string) bool {
	return host == "" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || isOwnHost(host)
}

// isOwnAddress tells whether an address of pg_stat_replication is this host's.
func isOwnAddress(address string) bool {
	if address == "" {
		return true // a Unix socket
	}
	ip := net.ParseIP(address)
	if ip.IsLoopback() {
		return true
	}
	own, _ := net.InterfaceAddrs()
	for _, a := range own {
		if network, ok := a.(*net.IPNet); ok && network.IP.Equal(ip) {
			return true
		}
	}
	return false
}

// byHand tells how to make the successor of a standby on whatever host it is.
func byHand(plan upgrade.Plan, s upgrade.Standby) string {
	host, err := os.Hostname()
	if err != nil {
		host = "HOST"
	}
	where := "at " + s.Address
	switch {
	case s.Cluster != nil:
		where = "in " + s.Cluster.Pgdata
	case s.Address == "":
		where = "of a socket"
	}
	user := s.User
	if user == "" {
		user = "ROLE"
	}
	slot := ""
	if s.Slot != "" {
		slot = " --slot=" + s.Slot + " --create-slot"
	}
	major := plan.Target.Version.Major()
	return fmt.Sprintf("standby %s %s has no successor: %s. Make one with the programs of PostgreSQL %d, as its owner: "+
		"pg_basebackup --pgdata=NEW_DIRECTORY --dbname='host=%s port=%d user=%s application_name=%s'%s --write-recovery-conf --checkpoint=fast --progress; "+
		"carry over its postgresql.conf and pg_hba.conf, choose its port, and start it: pg_ctl start --pgdata=NEW_DIRECTORY",
		s.Name, where, strings.TrimSuffix(s.Problem, "."), major, host, plan.Target.Port, user, s.Name, slot)
}
