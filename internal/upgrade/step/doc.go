// Package step is the contract between the workflows (upgrade/flow), those who start them
// (control) and those who do the work (work/onserver, work/onhost): names, arguments and
// results. An activity is idempotent: it looks at what is already true, and goes on from there.
package step
