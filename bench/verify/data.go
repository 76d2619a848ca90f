package main

import "fmt"

// tables are those that data makes.
var tables = []string{"account", "history", "wide"}

// data are the statements that make the data: narrow rows as pgbench has them, and wide ones of many types.
func data(scale int) []string {
	return []string{
		`SET TimeZone = 'UTC'`,
		`DROP SCHEMA public; CREATE SCHEMA public`, // what it grants differs between versions
		`SET search_path = public`,
		`CREATE TABLE account (id int PRIMARY KEY, branch int, balance int, filler char(84))`,
		fmt.Sprintf(`INSERT INTO account SELECT g, g %% 10, g %% 99991, '' FROM generate_series(1, %d) AS g`, 100_000*scale),
		`CREATE TABLE history (teller int, branch int, account int, delta int, at timestamp, filler char(22))`,
		fmt.Sprintf(`INSERT INTO history SELECT g %% 100, g %% 10, g, g %% 5000, timestamp '2024-01-01' + g * interval '1 second'
			FROM generate_series(1, %d) AS g`, 50_000*scale),
		`CREATE TABLE wide (id bigint PRIMARY KEY, a text, b varchar, amount numeric, at timestamptz, document jsonb, ratio float8,
			token uuid, numbers int[], day date, flag bool, raw bytea, long text)`,
		fmt.Sprintf(`INSERT INTO wide SELECT g, md5(g::text), 'x' || g, g * 1.37, '2024-01-01'::timestamptz + g * interval '1 minute',
				jsonb_build_object('a', g, 'b', md5(g::text), 'c', ARRAY[g, g + 1]), g / 7.0, md5(g::text)::uuid, ARRAY[g, g + 1, g + 2],
				date '2000-01-01' + g %% 10000, g %% 2 = 0, decode(md5(g::text), 'hex'), repeat(md5(g::text), 4)
			FROM generate_series(1, %d) AS g`, 30_000*scale),
		`VACUUM ANALYZE`,
	}
}
