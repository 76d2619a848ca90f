package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Reconciler tells definitions that mean the same from those that do not, and remembers the former.
type Reconciler struct {
	same map[[2]Definition]struct{}
}

// Reconcile takes out of two shapes the definitions that both have, in different words, and that one of the printers
// prints alike: sessions of superusers with the same settings, on either server. What was printed alike before
// needs no printer.
func (r *Reconciler) Reconcile(ctx context.Context, source, target Shape, printers ...*pgx.Conn) error {
	if r.same == nil {
		r.same = map[[2]Definition]struct{}{}
	}
	pairs := unlikeDefinitions(source, target)
	for _, printer := range printers {
		unknown := slices.DeleteFunc(slices.Clone(pairs), r.knows)
		if len(unknown) == 0 {
			break
		}
		alike, err := printAlike(ctx, printer, unknown)
		if err != nil {
			return fmt.Errorf("print definitions of %s again: %w", printer.Config().Database, err)
		}
		for _, pair := range alike {
			r.same[pair] = struct{}{}
		}
	}
	for _, pair := range pairs {
		if r.knows(pair) {
			delete(source, pair[0].line())
			delete(target, pair[1].line())
		}
	}
	return nil
}

func (r *Reconciler) knows(pair [2]Definition) bool {
	if _, known := r.same[pair]; known {
		return true
	}
	if !sameWords(pair[0], pair[1]) {
		return false
	}
	r.same[pair] = struct{}{}
	return true
}

// unlikeDefinitions are those of the same thing whose text differs, source first, in the order of their names.
func unlikeDefinitions(source, target Shape) [][2]Definition {
	only := map[string]Definition{}
	for line, definition := range target {
		if _, found := source[line]; !found && definition.Kind != "" {
			only[definition.What] = definition
		}
	}
	var pairs [][2]Definition
	for line, definition := range source {
		other, found := only[definition.What]
		if _, same := target[line]; !same && found && other.Kind == definition.Kind {
			pairs = append(pairs, [2]Definition{definition, other})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]Definition) int { return strings.Compare(a[0].What, b[0].What) })
	return pairs
}

// quietPrinting lets nothing of the user's interfere: no trigger fires, and nobody waits for long behind a lock that we
// wait for.
const quietPrinting = `SET LOCAL session_replication_role = replica; SET LOCAL check_function_bodies = off;
	SET LOCAL client_min_messages = error; SET LOCAL lock_timeout = '3s'; SET LOCAL temp_tablespaces = '';
	SET LOCAL standard_conforming_strings = on`

// beforePrinting is set once and returned to, never released: a statement of another version's grammar is refused
// before anything that is sent along with it is carried out.
const (
	beforePrinting = "SAVEPOINT pgleap_printed"
	forgetPrinted  = "ROLLBACK TO SAVEPOINT pgleap_printed"
)

// printAlike returns the pairs that the server of conn prints alike. It has the server read what either side has
// printed, as if it were restored, for a temporary object of the same columns, in a transaction that is rolled
// back.
func printAlike(ctx context.Context, conn *pgx.Conn, pairs [][2]Definition) (alike [][2]Definition, err error) {
	begin, end := "BEGIN", "ROLLBACK"
	if conn.PgConn().TxStatus() != 'I' {
		begin, end = beginBrief, endBrief
	}
	if _, err := conn.PgConn().Exec(ctx, begin+"; "+quietPrinting+"; "+beforePrinting).ReadAll(); err != nil {
		return nil, err
	}
	defer func() {
		_, ended := conn.PgConn().Exec(context.WithoutCancel(ctx), end).ReadAll()
		err = errors.Join(err, ended)
	}()
	for _, pair := range pairs {
		source, err := reprint(ctx, conn, pair[0])
		if err != nil {
			return nil, err
		}
		if source == "" {
			continue
		}
		if source == pair[1].Text { // nothing in it names the temporary object
			alike = append(alike, pair)
			continue
		}
		target, err := reprint(ctx, conn, pair[1])
		if err != nil {
			return nil, err
		}
		if source == target {
			alike = append(alike, pair)
		}
	}
	return alike, nil
}

// printed is the temporary object that is made of a definition, and printedTable a table or view of that name.
const (
	printed      = "pg_temp.pgleap_printed"
	printedTable = "'" + printed + "'::regclass"
)

// reprint has a definition read and printed by a server. It is empty if the server refuses it.
func reprint(ctx context.Context, conn *pgx.Conn, d Definition) (string, error) {
	results, err := conn.PgConn().Exec(ctx, d.again()+";\n"+forgetPrinted).ReadAll()
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && conn.PgConn().TxStatus() == 'E' && isRefusal(refused) {
		_, err := conn.PgConn().Exec(ctx, forgetPrinted).ReadAll()
		return "", err
	}
	if err != nil {
		return "", err
	}
	for _, result := range slices.Backward(results) {
		if len(result.Rows) == 1 && len(result.Rows[0]) == 1 {
			return string(result.Rows[0][0]), nil
		}
	}
	return "", nil
}

// isRefusal tells whether an error says something of the statement, rather than of the server: that it is busy, is
// stopping, or has no room.
func isRefusal(err *pgconn.PgError) bool {
	if len(err.Code) != 5 || err.Code == "55P03" || err.Code == "40P01" {
		return false
	}
	return !slices.Contains([]string{"08", "53", "57", "58", "F0", "XX"}, err.Code[:2])
}

// again is SQL that makes a temporary object of a definition, and then selects how it is printed.
func (d Definition) again() string {
	like := "CREATE TEMPORARY TABLE pgleap_printed (LIKE " + d.Of + ")"
	var create []string
	var show string
	switch d.Kind {
	case "query":
		create = []string{"CREATE TEMPORARY VIEW pgleap_printed AS " + strings.TrimRight(d.Text, "; \n")}
		show = "SELECT pg_get_viewdef(" + printedTable + ")"
	case "expression":
		create = []string{"CREATE TEMPORARY VIEW pgleap_printed AS SELECT (" + d.Text + ") AS printed FROM " + d.Of}
		show = "SELECT pg_get_viewdef(" + printedTable + ")"
	case "constraint":
		create = []string{like, "ALTER TABLE " + printed + " ADD CONSTRAINT pgleap_printed " + d.Text}
		show = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'pgleap_printed' AND conrelid = " + printedTable
	case "domain constraint":
		create = []string{"CREATE DOMAIN " + printed + " AS " + d.Of, "ALTER DOMAIN " + printed + " ADD CONSTRAINT pgleap_printed " + d.Text}
		show = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'pgleap_printed' AND contypid = '" + printed + "'::regtype"
	case "index":
		create = []string{like, d.on(" ON ONLY ", " ON ")}
		show = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = " + printedTable
	case "trigger":
		create = []string{like, d.on(" ON ")}
		show = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = " + printedTable
	case "rule":
		create = []string{like, d.on(" TO ")}
		show = "SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = " + printedTable
	case "partition key":
		create = []string{like + " PARTITION BY " + d.Text}
		show = "SELECT pg_get_partkeydef(" + printedTable + ")"
	case "statistics":
		create = []string{like, "CREATE STATISTICS " + printed + " " + d.on(" FROM ")}
		show = "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxrelid = " + printedTable
	case "function":
		// It keeps its name, which its body may mention.
		create = []string{strings.Replace(d.Text, " "+d.Of+".", " pg_temp.", 1)}
		show = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()"
	}
	return strings.Join(append(create, show), ";\n")
}

// on is the statement made for the temporary table: its name takes the place of the table's behind the first of
// the words that is there.
func (d Definition) on(words ...string) string {
	for _, word := range words {
		if before, after, found := strings.Cut(d.Text, word+d.Of); found {
			return before + " " + strings.Fields(word)[0] + " " + printed + strings.TrimRight(after, "; \n")
		}
	}
	return d.Text
}
