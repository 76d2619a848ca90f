// Package postmaster knows the clusters of this host and their postmasters: which there are, who
// they are, how they are started and stopped, and where a new one can go.
package postmaster
