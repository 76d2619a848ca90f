// Package onhost has the activities that a host's agent carries out, one file per step of the
// story in package upgrade. Each looks at what is already true and goes on from there, so that it
// can be repeated after any crash.
package onhost
