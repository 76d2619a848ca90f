// Package onserver has the activities that write the record: where tasks stand, what happened, and
// how they ended.
package onserver
