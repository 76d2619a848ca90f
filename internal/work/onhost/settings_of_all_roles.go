package onhost

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// carrySettingsOfAllRoles gives a target that pg_upgrade has made, and nobody has started, what ALTER ROLE ALL SET has
// set on the source: pg_dumpall writes the settings of each role, and pg_dump those of each database (pg_dumpall.c,
// dumpUserConfig; pg_dump.c, dumpDatabaseConfig), but nobody writes those of all roles in all databases. The row is
// carried over as it is, as an array in a literal: ALTER ROLE would want lists quoted otherwise than other values.
// A second time changes nothing, and completes what was cut short.
func (w *Worker) carrySettingsOfAllRoles(ctx context.Context, plan upgrade.Plan, as pgbin.Caller, settings string) error {
	if settings == "" {
		return nil
	}
	server := pgbin.SingleUser{Bindir: plan.Target.Bindir, Pgdata: plan.Target.Pgdata, Database: "template1"}
	err := server.Run(ctx, as, "INSERT INTO pg_db_role_setting (setdatabase, setrole, setconfig) SELECT 0, 0, "+escaped(settings)+
		"::text[] WHERE NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = 0)")
	if err != nil {
		return fmt.Errorf("carry over what ALTER ROLE ALL SET has set: %w", err)
	}
	return nil
}

func readSettingsOfAllRoles(ctx context.Context, source postgres.Login) (settings string, err error) {
	err = with(ctx, source, func(conn *pgx.Conn) (err error) {
		settings, err = postgres.SettingsOfAllRoles(ctx, conn)
		return err
	})
	return settings, err
}

// escaped is a literal on one line: single-user mode takes an empty one for the end of a statement.
func escaped(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`, "\r", `\r`).Replace(text) + "'"
}
