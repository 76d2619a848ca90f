// Package harness sets up what the demonstration and the end-to-end tests look at: a PostgreSQL
// cluster with two databases, clients that write to it and note outside of it what was acknowledged,
// the built pgleap, and the proof that nothing was lost.
package harness
