// Package switchover is the critical section of a zero-downtime upgrade: the few milliseconds in
// which clients wait while the endpoint moves from the source to the target.
//
// Its steps, in order (DESIGN, section 5):
//
//  1. ready: everything that can be refused is refused now, while nobody waits.
//  2. journal: the intent is written down, durably, before the first side effect.
//  3. pause: the endpoint holds its clients. The deadline counts from here.
//  4. fence: no other session can write to the source, provably.
//  5. drain: a marker written on the source is read on the target.
//  6. sequences: their last values are set on the target, and all that it applied is on its disk.
//  7. snapshots: opened on both sides while both stand still, for a comparison at leisure.
//  8. commit: one durable line in the journal.
//  9. move, resume, turn: clients go on at the target, and what brought everything there ends. Where the target
//     stood is in the journal: from there the source can follow it, if clients are to come back.
//
// Before the commit every failure rolls back: the fence is lifted and clients go on at the source.
// After it every failure rolls forward. Whoever finds the journal after a crash can tell which.
package switchover
