// Package pgtest gives tests real PostgreSQL clusters and a real PgBouncer, made in a moment and
// gone with the test:
//
//	source, target := pgtest.Pair(t, 15, 17)
//	source.Exec(t, "postgres", "create table t (id int primary key)")
//
// Everything listens on 127.0.0.1 and in a directory of its own, so tests may run in parallel.
// Run by root, the programs run as the OS user postgres, since PostgreSQL refuses root.
// A PostgreSQL version that the machine does not have skips the test that asks for it, with the
// command that installs it; where CI=true is set it fails the test.
package pgtest
