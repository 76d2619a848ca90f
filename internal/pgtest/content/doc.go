// Package content fills a cluster with something of everything that PostgreSQL can hold, as far as it can
// be upgraded to a version: for tests of what an upgrade must not change.
//
// The scripts in sql are run by psql in the order of their names. Their variables source_14 to source_19 and
// target_14 to target_19 tell whether a version is at least that one; clone, whether the target is made
// of a physical clone; few, whether there are to be few databases.
package content
