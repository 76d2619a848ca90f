package onhost

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// confBlock names what replication needs at the end of the target's postgresql.conf, until it ends.
const confBlock = "replication"

// carryConfiguration writes the target's configuration files from the source's.
func (w *Worker) carryConfiguration(ctx context.Context, plan upgrade.Plan, user run.User) ([]upgrade.Event, error) {
	if err := w.registerTarget(ctx, plan); err != nil {
		return nil, err
	}
	started, err := commandLine(ctx, login(plan, plan.Source)) // a fence may have left nobody else
	if err != nil {
		return nil, err
	}
	conf, changes, err := w.translateConf(ctx, plan, started)
	if err != nil {
		return nil, err
	}
	said, err := withhold(conf)
	if err != nil {
		return nil, err
	}
	lines, err := w.forReplication(ctx, plan, conf)
	if err != nil {
		return nil, err
	}
	text, err := pgconf.AppendBlock(textFor(plan, conf), confBlock, lines...)
	if err != nil {
		return nil, err
	}
	ours, err := ourHBALines()
	if err != nil {
		return nil, err
	}
	written, err := writeCarried(plan, text, user, plan.Target.ConfigFile, plan.Target.HBAFile, plan.Target.IdentFile, ours...)
	if err != nil {
		return nil, err
	}
	if err := carryFiles(plan, conf, user); err != nil {
		return nil, err
	}
	events := w.tellChanges(ctx, append(changes, written...), said)
	events = append(events, w.carryDebian(ctx, plan)...)
	if plan.Target.Manager == upgrade.ManagerSystemd {
		events = append(events, w.say(ctx, upgrade.LevelInfo, fmt.Sprintf("systemd starts the target by unit %s, which was made of %s", plan.Target.Unit, plan.Source.Unit)))
	}
	return events, nil
}

// writeCarried writes the target's files, with lines of ours at the beginning of pg_hba.conf, and tells what there is to
// say of them beside the translation of the settings.
func writeCarried(plan upgrade.Plan, text []byte, user run.User, configFile, hbaFile, identFile string, ours ...string) ([]pgconf.Change, error) {
	mode, closedBy, err := confMode(plan, user)
	if err != nil {
		return nil, err
	}
	if err := writeWithMode(configFile, text, user, mode); err != nil {
		return nil, err
	}
	changes, err := carryAccess(plan, user, hbaFile, identFile, ours...)
	if err != nil {
		return nil, err
	}
	stranded, err := strandedAccess(plan, user)
	return slices.Concat(changes, stranded, tellClosed(plan, closedBy)), err
}

// registerTarget makes a plan's target known to what manages it, to be started with the system if its source is.
func (w *Worker) registerTarget(ctx context.Context, plan upgrade.Plan) error {
	if err := w.host.Register(ctx, plan.Target, plan.Source); err != nil {
		return err
	}
	w.host.HeedStartConf(ctx, plan.Target)
	boots, err := w.host.Boots(ctx, plan.Source)
	if err != nil || !boots {
		return err
	}
	return w.host.SetBoot(ctx, plan.Target, true)
}

// tellChanges tells what was done to the configuration, and what was withheld.
func (w *Worker) tellChanges(ctx context.Context, changes, withheld []pgconf.Change) []upgrade.Event {
	events := []upgrade.Event{}
	for _, change := range changes {
		events = append(events, w.say(ctx, upgrade.LevelWarning, describeChange(change)))
	}
	for _, change := range withheld {
		events = append(events, w.say(ctx, upgrade.LevelWarning, change.Reason))
	}
	return events
}

func describeChange(c pgconf.Change) string {
	text := fmt.Sprintf("configuration: %s %s (%s:%d): %s", c.Name, c.Kind, c.File, c.Line, c.Reason)
	if c.From != "" && c.To != "" {
		text += fmt.Sprintf("; it was %q and is %q", c.From, c.To)
	}
	return text
}

// translateConf makes one file of the source's configuration, in the words of the target. The settings that the
// source was started with stand in no file.
func (w *Worker) translateConf(ctx context.Context, plan upgrade.Plan, started map[string]string) (*pgconf.Conf, []pgconf.Change, error) {
	tree, err := sourceTree(plan, started)
	if err != nil {
		return nil, nil, err
	}
	known, err := w.knownToTarget(ctx, plan, tree)
	if err != nil {
		return nil, nil, err
	}
	source := tree.Effective()
	conf, changes, err := translateTree(plan, tree, known)
	if err != nil {
		return nil, nil, err
	}
	return conf, append(changes, stranded(plan, source, conf)...), nil
}

// translateTree does so with what was read, and changes it.
func translateTree(plan upgrade.Plan, tree *pgconf.Tree, known func(string) bool) (*pgconf.Conf, []pgconf.Change, error) {
	changes := tree.Translate(majors(plan), known)
	if tree.Auto != nil { // a comment of it would show a password to those who may read postgresql.conf
		for _, name := range recoverySettings() {
			tree.Auto.Conf.CommentOut(name, "it was for the source's recovery")
		}
	}
	conf, err := tree.Flat()
	if err != nil {
		return nil, nil, err
	}
	return conf, changes, settle(conf, plan)
}

func majors(plan upgrade.Plan) pgconf.Versions {
	return pgconf.Versions{Source: int(plan.Source.Version.Major()), Target: int(plan.Target.Version.Major())}
}

// sourceTree reads the source's configuration: its files, and what it was started with.
func sourceTree(plan upgrade.Plan, started map[string]string) (tree *pgconf.Tree, err error) {
	user, err := owner(plan)
	if err != nil {
		return nil, err
	}
	err = user.Do(func() (err error) { // as its owner: an include may point at a file of somebody else's
		tree, err = pgconf.LoadTree(plan.Source.ConfigFile, plan.Source.Pgdata)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the source's configuration: %w", err)
	}
	return tree, tree.SetCommandLine(started)
}

// knownToTarget tells which settings of a configuration, and of what may take their place, the target takes.
func (w *Worker) knownToTarget(ctx context.Context, plan upgrade.Plan, tree *pgconf.Tree) (func(string) bool, error) {
	names := pgconf.Successors()
	for _, setting := range tree.Settings() {
		names = append(names, setting.Name)
	}
	as, err := w.caller(plan, "postgres")
	if err != nil {
		return nil, err
	}
	taken, err := pgbin.KnownSettings(ctx, as, plan.Target.Bindir, names)
	return pgconf.Known(taken), err
}

// commandLine reads the settings that a server was started with: whoever starts the target need not know them.
func commandLine(ctx context.Context, at postgres.Login) (settings map[string]string, err error) {
	err = with(ctx, at, func(conn *pgx.Conn) (err error) {
		settings, err = postgres.CommandLineSettings(ctx, conn)
		return err
	})
	return settings, err
}

// recoverySettings were for the source's recovery.
func recoverySettings() []string {
	return []string{
		"primary_conninfo", "primary_slot_name", "restore_command", "recovery_target", "recovery_target_lsn",
		"recovery_target_name", "recovery_target_time", "recovery_target_xid", "recovery_target_action",
		"recovery_target_inclusive", "recovery_target_timeline", "recovery_end_command", "archive_cleanup_command",
	}
}

// settle sets what belongs to a place rather than to an instance.
func settle(conf *pgconf.Conf, plan upgrade.Plan) error {
	const reason = "it named a place of the source"
	for _, name := range []string{"data_directory", "hba_file", "ident_file", "external_pid_file"} {
		conf.CommentOut(name, reason)
	}
	for _, name := range recoverySettings() {
		conf.CommentOut(name, "it was for the source's recovery")
	}
	settings := map[string]string{"port": strconv.Itoa(plan.Target.Port)}
	if plan.Target.Manager == upgrade.ManagerPgCtlcluster {
		major := int(plan.Target.Version.Major())
		settings["data_directory"] = plan.Target.Pgdata
		settings["hba_file"], settings["ident_file"] = plan.Target.HBAFile, plan.Target.IdentFile
		settings["external_pid_file"] = fmt.Sprintf("/var/run/postgresql/%d-%s.pid", major, plan.Target.Name)
		settings["cluster_name"] = fmt.Sprintf("%d/%s", major, plan.Target.Name)
	}
	for name, value := range settings {
		if err := conf.Set(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return settleFiles(conf, plan)
}

// forReplication are the settings that replication needs on the target, as far as it has less.
func (w *Worker) forReplication(ctx context.Context, plan upgrade.Plan, conf *pgconf.Conf) (lines []string, err error) {
	databases := 0
	err = with(ctx, login(plan, plan.Source), func(conn *pgx.Conn) error {
		found, err := postgres.ReplicatedDatabases(ctx, conn)
		databases = len(found)
		return err
	})
	if err != nil {
		return nil, err
	}
	workers := databases * max(1, plan.Options.TableGroups) // one for each subscription, which has an origin, too
	lines = []string{"wal_level = logical"}
	least := map[string]int{
		"max_connections":      3*databases + 20, // our own sessions beside those of the applications
		"max_worker_processes": 2*workers + 8, "max_logical_replication_workers": workers + 4,
		"max_replication_slots": workers + 10, "max_wal_senders": databases + 10,
	}
	defaults := map[string]int{
		"max_connections": 100, "max_worker_processes": 8, "max_logical_replication_workers": 4, "max_replication_slots": 10, "max_wal_senders": 10,
	}
	if plan.Target.Version.Major() >= 18 {
		least["max_active_replication_origins"], defaults["max_active_replication_origins"] = workers+10, 10
	}
	for _, name := range []string{
		"max_connections", "max_worker_processes", "max_logical_replication_workers", "max_replication_slots", "max_wal_senders", "max_active_replication_origins",
	} {
		has := defaults[name]
		if text, ok := conf.Get(name); ok {
			has, _ = strconv.Atoi(strings.TrimSpace(text))
		}
		if has < least[name] {
			lines = append(lines, fmt.Sprintf("%s = %d", name, least[name]))
		}
	}
	return lines, nil
}

// withhold sets what must not be carried over as it was, and tells each.
func withhold(conf *pgconf.Conf) (changes []pgconf.Change, err error) {
	if names, ok := conf.Get("synchronous_standby_names"); ok && names != "" {
		if err := conf.Set("synchronous_standby_names", ""); err != nil {
			return nil, fmt.Errorf("set synchronous_standby_names: %w", err)
		}
		changes = append(changes, pgconf.Change{
			Kind: pgconf.Changed, Name: "synchronous_standby_names", From: names,
			Reason: "the target has no standbys yet, so synchronous_standby_names is empty there, until those of them that pgleap makes stream",
		})
	}
	archiving, err := withholdArchiving(conf)
	return append(changes, archiving...), err
}

// withholdArchiving keeps the target from writing into the source's archive. archive_mode stays, since only a restart
// changes it: a command that does nothing (documentation, 25.3.1) can be replaced while clients are served.
func withholdArchiving(conf *pgconf.Conf) (changes []pgconf.Change, err error) {
	if mode, ok := conf.Get("archive_mode"); !ok || mode == "off" {
		return nil, nil
	}
	const reason = "archiving is withheld on the target, since it must not write into the source's archive; " +
		"give it an archive of its own, set archive_command or archive_library again, reload it and take a base backup"
	for _, name := range []string{"archive_command", "archive_library"} {
		conf.CommentOut(name, reason)
	}
	if err := conf.Set("archive_command", "true"); err != nil {
		return nil, fmt.Errorf("set archive_command: %w", err)
	}
	return []pgconf.Change{{
		Kind: pgconf.Changed, Name: "archive_command", To: "true", Reason: reason, Weighty: true, // until then it cannot be restored
	}}, nil
}

// endReplicationSettings takes out what only replication needed. It holds from the next start on.
func endReplicationSettings(plan upgrade.Plan, user run.User) error {
	text, err := user.ReadFile(plan.Target.ConfigFile)
	if err != nil {
		return fmt.Errorf("read the target's configuration: %w", err)
	}
	rest, err := pgconf.RemoveBlock(text, confBlock)
	if err != nil {
		return fmt.Errorf("edit %s: %w", plan.Target.ConfigFile, err)
	}
	return writeOwned(plan.Target.ConfigFile, rest, user, 0o600)
}

// sourceAccess reads the source's pg_hba.conf and pg_ident.conf with what they include, the former in the words of the
// target, and without pgleap's own lines.
func sourceAccess(plan upgrade.Plan, user run.User) (hba, ident access, err error) {
	if hba, err = accessOf(plan.Source.HBAFile, plan.Source.Pgdata, user); err != nil {
		return hba, ident, err
	}
	text, changes, err := pgconf.TranslateHBA(hba.text, majors(plan))
	if err != nil {
		return hba, ident, fmt.Errorf("translate %s: %w", plan.Source.HBAFile, err)
	}
	for i := range changes {
		changes[i].File = plan.Source.HBAFile
	}
	hba.text, hba.changes = text, append(hba.changes, changes...)
	ident, err = accessOf(plan.Source.IdentFile, plan.Source.Pgdata, user)
	return hba, ident, err
}

// carryAccess writes a pg_hba.conf and a pg_ident.conf from the source's, with lines of ours at the beginning.
func carryAccess(plan upgrade.Plan, user run.User, hbaFile, identFile string, ours ...string) ([]pgconf.Change, error) {
	hba, ident, err := sourceAccess(plan, user)
	if err != nil {
		return nil, err
	}
	if len(ours) > 0 {
		if hba.text, err = pgconf.PrependBlock(hba.text, hbaBlock, ours...); err != nil {
			return nil, err
		}
	}
	if err := writeWithMode(hbaFile, hba.text, user, hba.mode); err != nil {
		return nil, err
	}
	return append(hba.changes, ident.changes...), writeWithMode(identFile, ident.text, user, ident.mode)
}
