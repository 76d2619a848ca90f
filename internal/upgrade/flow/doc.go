// Package flow has the workflows. They decide, activities act; they read as the story in package
// upgrade does. Nothing here may depend on time, chance or the outside: a workflow is replayed from
// its history after every restart.
package flow
