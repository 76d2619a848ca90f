package precheck

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// foreignConsumers names everybody who takes something from the source's WAL, or brings something by
// way of a subscription, and tells what becomes of each. That an upgrade has to be stopped for one is
// said by other checks in the modes with a clone, and by this one in the mode in-place.
var foreignConsumers = Check{
	ID: "foreign-consumers", Title: "Others replicate from the source, or to it",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerCluster, Acceptable: true,
	Why:    "Whoever reads the source's changes, or sends it some, has to change over too. What happens to each depends on the mode of the upgrade.",
	Remedy: "Plan for each consumer how it goes on at the target. The SQL drops slots that have lost what they need: nobody can read them any more. Of others pgleap cannot know whether their consumer comes back: drop by hand those that nobody uses, and subscriptions that are not wanted any more. Accept by name what is going to begin anew.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		rows, err := s.Tx.Query(ctx, consumers)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var found []Found
		for rows.Next() {
			var c consumer
			if err := rows.Scan(&c.Kind, &c.Name, &c.Database, &c.Plugin, &c.Application, &c.Address, &c.Idle, &c.Mend); err != nil {
				return nil, err
			}
			found = append(found, f.consumerFound(c))
		}
		return found, rows.Err()
	},
}

// consumers lists slots with who reads them, walsenders without a slot, and subscriptions. Those of
// pgleap's own are left out.
const consumers = `
	SELECT CASE s.slot_type WHEN 'logical' THEN 'logical slot' ELSE 'physical slot' END AS kind, s.slot_name::text, coalesce(s.database::text, ''),
		coalesce(s.plugin::text, ''), coalesce(r.application_name, ''), coalesce(host(r.client_addr), ''), NOT s.active,
		CASE WHEN s.wal_status = 'lost' THEN format('SELECT pg_drop_replication_slot(%L)', s.slot_name) ELSE '' END
	FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
	WHERE NOT s.temporary AND s.slot_name NOT LIKE 'pgleap%' AND s.slot_name <> 'pg_conflict_detection'
	UNION ALL
	SELECT 'standby', coalesce(nullif(r.application_name, ''), 'process ' || r.pid), '', '', r.application_name, coalesce(host(r.client_addr), ''), false, ''
	FROM pg_stat_replication r
	WHERE r.application_name NOT LIKE 'pgleap%' AND r.application_name <> 'pg_basebackup'
		AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid)
	UNION ALL
	SELECT 'subscription', format('%I.%I', d.datname, u.subname), d.datname, '', '', '', NOT u.subenabled, ''
	FROM pg_subscription u JOIN pg_database d ON d.oid = u.subdbid
	WHERE u.subname NOT LIKE 'pgleap%'
	ORDER BY 1, 2`

// consumer is one of those.
type consumer struct {
	Kind        string // "logical slot", "physical slot", "standby" or "subscription"
	Name        string
	Database    string
	Plugin      string
	Application string
	Address     string
	Idle        bool // a slot that nobody reads, a subscription that is disabled
	Mend        string
}

func (f *Facts) consumerFound(c consumer) Found {
	var about []string
	if tool := c.tool(); tool != "" {
		about = append(about, tool)
	}
	if c.Application != "" && c.Application != c.Name {
		about = append(about, "application "+c.Application)
	}
	if c.Address != "" {
		about = append(about, "from "+c.Address)
	}
	if c.Kind == "logical slot" {
		about = append(about, fmt.Sprintf("database %s, plugin %s", c.Database, c.Plugin))
	}
	switch {
	case c.Idle && c.Kind == "subscription":
		about = append(about, "disabled")
	case c.Idle:
		about = append(about, "inactive")
	}
	severity, fate := f.fate(c.Kind)
	return Found{Object: c.Kind + " " + c.Name, Note: strings.Join(append(about, fate), ", "), SQL: c.Mend, Severity: severity}
}

// fate is what becomes of a consumer in the plan's mode.
func (f *Facts) fate(kind string) (severity upgrade.Severity, fate string) {
	carries := f.Version.Major() >= 17 // pg_upgrade carries slots and subscriptions over from 17 on
	switch mode := f.Plan.Mode; {
	case mode == upgrade.InPlace && kind == "logical slot" && carries:
		return upgrade.Info, "carried over by pg_upgrade, if its consumer has read everything by then"
	case mode == upgrade.InPlace && kind == "logical slot":
		return upgrade.Blocker, "lost: a source before 17 cannot carry slots over; its consumer misses what happens until it has a new one, and must copy anew"
	case mode == upgrade.InPlace && kind == "subscription" && carries:
		return upgrade.Info, "carried over by pg_upgrade with its position"
	case mode == upgrade.InPlace && kind == "subscription":
		return upgrade.Blocker, "comes over disabled, without its tables' states and its position: drop it before, make it anew and have its tables copied again"
	case mode == upgrade.ZeroDowntime && kind == "logical slot":
		return upgrade.Info, "made again on the target, which tells the consumer where to change over (docs/change-data-capture.md)"
	case kind == "logical slot" && mode == upgrade.BlueGreen:
		return upgrade.Info, "not on the target: the consumer goes on reading the source, which nobody writes any more, until it has a slot there"
	case kind == "subscription" && mode != upgrade.Logical:
		return upgrade.Info, "has to be dropped first: the clone must not read the same publisher's slot"
	case kind == "subscription":
		return upgrade.Warning, "stays with the source and writes there: make it anew on the target"
	case kind == "logical slot":
		return upgrade.Warning, "stays with the source: make a slot on the target before anybody writes there"
	case mode == upgrade.InPlace:
		return upgrade.Info, "does not follow the new version: build it anew from the target"
	}
	return upgrade.Info, "stays with the source: build it anew from the target"
}

// tool tells what a consumer probably is, by its plugin and by the names that such tools choose.
func (c consumer) tool() string {
	names := strings.ToLower(c.Name + " " + c.Application)
	for _, known := range []struct{ tool, plugin, name string }{
		{"Debezium", "decoderbufs", `debezium|dbz`},
		{"BDR", "bdr|pgl_output", `^bdr_`},
		{"pglogical", "pglogical_output", `^pgl_|pglogical`},
		{"AWS DMS", "", `\bdms\b|aws.?dms|_[0-9a-f]{8}_[0-9a-f]{8}`},
		{"Fivetran", "", `fivetran`},
		{"Airbyte", "", `airbyte`},
		{"Materialize", "", `materialize`},
		{"PeerDB", "", `peerdb|peerflow`},
		{"ClickPipes", "", `clickpipes`},
		{"Striim", "", `striim`},
		{"Stitch", "", `stitch`},
		{"Estuary Flow", "", `estuary|flow_slot`},
		{"Hevo", "", `hevo`},
		{"Qlik Replicate", "", `qlik|attunity`},
		{"Google Datastream", "", `datastream`},
		{"Flink CDC", "", `flink`},
		{"Kafka Connect", "", `kafka|connect-`},
		{"pg_recvlogical", "", `pg_recvlogical`},
		{"pg_receivewal", "", `pg_receivewal`},
		{"Barman", "", `barman`},
		{"WAL-G", "", `wal-?g\b`},
		{"pgBackRest", "", `pgbackrest`},
		{"Patroni", "", `patroni`},
		{"repmgr", "", `repmgr`},
		{"wal2json consumer", "wal2json", `wal2json`},
	} {
		byPlugin := known.plugin != "" && c.Plugin != "" && regexp.MustCompile(`^(?:`+known.plugin+`)$`).MatchString(c.Plugin)
		if byPlugin || regexp.MustCompile(known.name).MatchString(names) {
			return known.tool
		}
	}
	if c.Plugin == "pgoutput" {
		return "subscription or other reader of pgoutput"
	}
	return ""
}

// publications: they come over with the schema, and so do their consumers' expectations.
var publications = Check{
	ID: "publications", Title: "The source publishes tables to others",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerDatabase,
	Why: "A publication comes over with the schema, and a subscriber can go on with it at the target once it has a slot there. " +
		"A publication of all tables also has those that pgleap makes for the time of an upgrade that replicates (schema pgleap): its subscribers get their changes, and need a table of that name or a publication that names its tables.",
	Remedy: "Tell those who subscribe when they have to change over. A publication that nobody reads can be dropped by hand: a subscriber that is only away would stop then.",
	Find: query(`
		SELECT quote_ident(pubname),
			CASE WHEN puballtables THEN 'all tables'
				ELSE (SELECT count(*) FROM pg_publication_tables t WHERE t.pubname = p.pubname) || ' tables' END, NULL
		FROM pg_publication p
		WHERE pubname !~ '^pgleap_'
		ORDER BY 1`),
}
