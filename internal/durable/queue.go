package durable

// Namespace is the Temporal namespace that everything of pgleap lives in.
const Namespace = "pgleap"

// ServerQueue is the task queue of all workflows, and of the activities that need the catalogue.
// Every pgleap server polls it.
const ServerQueue = "server"

// HostQueue returns the task queue of the activities that must run on one host. Only that
// host's agent polls it.
func HostQueue(hostID string) string {
	return "host." + hostID
}
