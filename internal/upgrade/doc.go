// Package upgrade is the vocabulary of pgleap: the types that every other
// package shares, without any I/O.
//
// One zero-downtime upgrade, told in the order in which it happens:
//
//  1. Precheck. Everything that would stop the upgrade later, or lose data, is
//     looked for while nothing has been touched. The report is kept for seven days.
//  2. Prepare the source. A role of our own, a marker row and a publication for
//     all tables in every database. Nothing the applications can notice.
//  3. Base backup. A physical clone of the source, which then streams from it.
//  4. Hand-over. A logical slot per database is created on the source; X is an
//     LSN after all of them. The clone recovers up to X, exactly, and is promoted:
//     it holds every transaction whose commit record starts before X, the slots
//     will deliver every other one. None is in both, none in neither.
//  5. pg_upgrade. The clone becomes a cluster of the target version, with the
//     source's configuration translated.
//  6. Subscribe. The target's replication origins are set to X and the
//     subscriptions enabled; statistics are collected, extensions updated.
//  7. Synchronizing. The target follows the source. Lag is published every
//     second. This can go on for as long as the user likes. The switchover can be
//     rehearsed, any number of times: all of it but the move, and then a comparison
//     of all data of both sides as they stood still.
//  8. Switchover. Clients pause, the source is fenced, the last changes drain,
//     sequences are set, the commit point is journalled, the endpoint moves,
//     clients resume on the target. Some tens of milliseconds; undone if anything fails
//     before the commit point.
//  9. Following. The source, fenced, follows the target; all data of both sides are
//     compared as they stood still in the switchover. Clients can go back, and there
//     again, until the user finishes the upgrade.
//  10. Finish. Statistics, if they were asked for afterwards; what pgleap created for the
//     replication is removed. The source is kept, fenced.
package upgrade
