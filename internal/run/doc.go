// Package run starts processes, streams and keeps their output. It is the only
// importer of os/exec.
package run
