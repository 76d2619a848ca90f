// Package verify compares what source and target hold, in snapshots that were opened while both
// stood still.
package verify
