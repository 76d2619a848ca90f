// Package catalog is the record: the instances, every precheck and upgrade with its log, the
// reports, and who asked for what. The workflow engine's state is disposable, this is not.
//
// The record is kept in an SQLite file or in a PostgreSQL database. One SQL text serves both:
//
//   - Parameters are written $1, which both drivers number alike.
//   - Points in time are microseconds since 1970 in a BIGINT, PostgreSQL's own resolution.
//   - Values with a structure are JSON in a TEXT. What is searched for has a column of its own.
//   - What SELECT ... FOR UPDATE would do, which SQLite has not, an UPDATE that changes nothing does.
//
// Writers may be repeated, since those who call them are: each says what happens then.
//
// Several processes may have one PostgreSQL database open. One that is alone may know more than the record
// does, for a moment, and answer from what it remembers (writers.go).
package catalog
