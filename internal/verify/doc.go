// Package verify compares what source and target hold, in snapshots that were opened while both
// stood still.
//
// Data compares everything that an upgrade carries over:
//
//  1. what the catalogs say: postgres.Shape, and owners, comments, privileges and materialized views;
//  2. sequences, which no snapshot holds: where they stood when both sides stood still;
//  3. tables: each side is read once, and yields the number of rows and the sum of their hashes. The
//     order of the rows does not matter, nor do collations, and swapped values do;
//  4. large objects, as the table that PostgreSQL keeps them in;
//  5. for tables whose sums differ, the rows: sums by buckets of the hash tell where to look, and the
//     rows of the buckets that differ are told apart by their keys.
//
// Large tables are read in ranges of blocks, each in a subtransaction that gives its locks back, so
// that a client's DDL waits for a second at most. What such DDL takes out of the snapshots (TRUNCATE
// does) is noticed and reported as not compared.
package verify
