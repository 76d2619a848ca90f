// Package pgbin runs PostgreSQL's programs and those of Debian's postgresql-common, one file per
// program: typed arguments in, parsed results out. It knows what differs between major versions
// (13 to 19) and nothing of SQL.
package pgbin
