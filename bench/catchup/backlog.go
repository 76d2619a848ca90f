package main

import "fmt"

// indexes are those that a table may have beside its key.
func indexes() []string {
	return []string{"customer", "state, at", "at", "amount", "note", "customer, amount", "state, amount", "md5(note)"}
}

// schema makes the tables with their rows, the same on both sides.
func schema(o options) (statements []string) {
	statements = append(statements, `SET TimeZone = 'UTC'`, `SET search_path = public`)
	for n := range o.tables {
		statements = append(statements, fmt.Sprintf(`
			CREATE TABLE t%d (id bigint PRIMARY KEY, customer int, state int, amount numeric(12, 2), at timestamptz, note text)`, n))
		for i := range o.indexes {
			statements = append(statements, fmt.Sprintf(`CREATE INDEX t%[1]d_%[2]d ON t%[1]d (%[3]s)`, n, i, indexes()[i]))
		}
		statements = append(statements, fmt.Sprintf(`
			INSERT INTO t%d SELECT g, g * 7 %% 10007, g %% 5, g * 31 %% 99991 / 100.0, '2025-01-01'::timestamptz + g * 37 %% 1000003 * interval '1 second', md5(g::text)
			FROM generate_series(1, %d) AS g`, n, o.rows))
	}
	return append(statements, `VACUUM ANALYZE`)
}

// changesEach are the rows that a transaction of the backlog changes in each of its tables.
const changesEach = 4

// backlog writes it: each transaction inserts into each of its tables, updates two rows in indexed columns, and deletes
// one that an earlier transaction has inserted.
func backlog(o options) string {
	return fmt.Sprintf(`
		DO $$
		DECLARE
			n int;
			t text;
			new bigint;
		BEGIN
			PERFORM setseed(0.5);
			FOR n IN 1 .. %[1]d LOOP
				FOR i IN 0 .. %[4]d - 1 LOOP
					t := 'public.t' || (n * %[4]d + i) %% %[2]d;
					new := %[3]d + n;
					EXECUTE format('INSERT INTO %%s VALUES ($1, $1 %%%% 10007, 1, $1 %%%% 9973, ''2025-06-01''::timestamptz + $1 * interval ''1 second'', md5($1::text))', t) USING new;
					EXECUTE format('UPDATE %%s SET state = state + 1, amount = amount + 1, at = at + interval ''1 hour'' WHERE id IN ($1, $2)', t)
						USING 1 + (random() * (%[3]d / 2 - 2))::bigint, 1 + %[3]d / 2 + (random() * (%[3]d / 2 - 2))::bigint;
					EXECUTE format('DELETE FROM %%s WHERE id = $1', t) USING new - 2 * %[2]d;
				END LOOP;
				COMMIT;
			END LOOP;
		END $$`, o.transactions, o.tables, o.rows, o.span)
}
