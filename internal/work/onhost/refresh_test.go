package onhost

import (
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// viewSchema has materialized views that read each other, one that is going to fail and the next that is not,
// and an event trigger that would stop each of them.
const viewSchema = `
	CREATE TABLE sale (id int PRIMARY KEY, amount int NOT NULL);
	INSERT INTO sale VALUES (1, 4);
	CREATE VIEW proxy AS SELECT 0::bigint AS total;
	CREATE MATERIALIZED VIEW "Grand total" AS SELECT total FROM proxy; -- the oldest reads the youngest
	CREATE MATERIALIZED VIEW broken AS SELECT 12 / amount AS share FROM sale;
	CREATE MATERIALIZED VIEW total AS SELECT sum(amount) AS total FROM sale;
	CREATE OR REPLACE VIEW proxy AS SELECT total FROM total;
	REFRESH MATERIALIZED VIEW "Grand total";
	CREATE MATERIALIZED VIEW never AS SELECT amount FROM sale WITH NO DATA;
	CREATE MATERIALIZED VIEW emptied AS SELECT amount FROM sale;
	CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
		IF tg_tag = 'REFRESH MATERIALIZED VIEW' THEN RAISE 'fired'; END IF; END$$;
	CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse();`

// refreshViews lets the target's materialized views hold what the source's tables do by now.
func (b *upgradeBed) refreshViews() {
	b.Helper()
	b.source.Exec(b, "shop", `INSERT INTO sale VALUES (2, 6), (3, 0)`,
		`SET session_replication_role = replica; REFRESH MATERIALIZED VIEW emptied WITH NO DATA`)
	b.caughtUp()
	done := b.step("RefreshMaterializedViews", b.worker.RefreshMaterializedViews)
	var warnings []string
	for _, event := range done.Events {
		if event.Level == upgrade.LevelWarning {
			warnings = append(warnings, event.Text)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "public.broken in shop: ERROR: division by zero") {
		b.Errorf("warnings: %v", warnings)
	}
	if !slices.ContainsFunc(done.Events, func(e upgrade.Event) bool {
		return e.Text == "2 materialized views of the target are refreshed" // what was emptied before is left alone
	}) {
		b.Errorf("events: %v", done.Events)
	}
	got := b.ask(b.plan.Target, "shop", `
		SELECT concat('total ', total) FROM total UNION ALL SELECT concat('grand total ', total) FROM "Grand total"
		UNION ALL SELECT concat('broken ', share) FROM broken
		UNION ALL SELECT concat(relname, ' is not populated') FROM pg_class WHERE relkind = 'm' AND NOT relispopulated
		ORDER BY 1`)
	want := []string{"broken 3", "emptied is not populated", "grand total 10", "never is not populated", "total 10"}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("what the views hold (-want +got):\n%s", diff)
	}
}
