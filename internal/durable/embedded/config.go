package embedded

import (
	"fmt"
	"path/filepath"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
)

const (
	loopback    = "127.0.0.1"
	clusterName = "active"
	archivalOff = "disabled"
)

// ports are where the services listen, all on loopback.
type ports struct{ frontend, history, matching int }

func (p ports) byService() map[primitives.ServiceName]int {
	return map[primitives.ServiceName]int{
		primitives.FrontendService: p.frontend,
		primitives.HistoryService:  p.history,
		primitives.MatchingService: p.matching,
	}
}

// services are those that run. Temporal's fourth, worker, executes workflows of its own: Temporal
// Schedules, batch operations, deleting namespaces, scavenging a shared database. We use none of
// them, and it is a fifth of the memory, most of the idle load and the second that a stop takes.
// Finished workflows are removed by the history service.
func services() []string {
	return []string{
		string(primitives.FrontendService),
		string(primitives.HistoryService),
		string(primitives.MatchingService),
	}
}

func address(port int) string { return fmt.Sprintf("%s:%d", loopback, port) }

// staticConfig is one of each service in this process, on one SQLite file, with nothing that
// listens besides: no metrics, no pprof, no HTTP.
func staticConfig(p ports, file string) *config.Config {
	c := &config.Config{
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address(p.frontend)},
			},
		},
		Persistence: config.Persistence{
			DefaultStore:    sqlite.PluginName,
			VisibilityStore: sqlite.PluginName,
			// What shards are for, spreading load over hosts and connections, one process
			// with one SQLite connection cannot have; every shard polls.
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{sqlite.PluginName: {SQL: sqlConfig(file)}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		PublicClient:        config.PublicClient{HostPort: address(p.frontend)},
		Services:            map[string]config.Service{},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: archivalOff},
			Visibility: config.VisibilityArchival{State: archivalOff},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: archivalOff},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: archivalOff},
		}},
	}
	for service, port := range p.byService() {
		c.Services[string(service)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: loopback}}
	}
	return c
}

// sqlConfig opens the file for this process. WAL with full synchronisation costs one fsync a
// transaction, and keeps what was acknowledged through a power failure too.
func sqlConfig(file string) *config.SQL {
	return &config.SQL{
		PluginName:   sqlite.PluginName,
		DatabaseName: uriPath(file),
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			"synchronous":  "full",
		},
	}
}

// hosts tell the services where the others are. Without them Temporal forms a gossip ring, of
// which we have no use: a further port for each, in clear unless told otherwise, and polling.
func hosts(p ports) map[primitives.ServiceName]static.Hosts {
	h := map[primitives.ServiceName]static.Hosts{}
	for service, port := range p.byService() {
		h[service] = static.SingleLocalHost(address(port))
	}
	// Temporal insists on an address for it (ServerOptionsProvider in its temporal/fx.go).
	h[primitives.WorkerService] = static.Hosts{All: []string{address(p.frontend)}}
	return h
}

// dynamicConfig is what differs from Temporal's defaults, which are made for clusters under
// load.
func dynamicConfig() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// Partitions spread a task queue over hosts; each polls its parent.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// Workers of the task queues' schedulers: 2,240 goroutines by default. More than these
		// could only queue for the one SQLite connection.
		dynamicconfig.TimerProcessorSchedulerWorkerCount.Key():                  64,
		dynamicconfig.MemoryTimerProcessorSchedulerWorkerCount.Key():            8,
		dynamicconfig.TransferProcessorSchedulerWorkerCount.Key():               64,
		dynamicconfig.VisibilityProcessorSchedulerWorkerCount.Key():             16,
		dynamicconfig.ReplicationProcessorSchedulerWorkerCount.Key():            1,
		dynamicconfig.ReplicationLowPriorityProcessorSchedulerWorkerCount.Key(): 1,
	}
}

// engineFile is where the engine of this version keeps its state.
func engineFile(dir, version string) string {
	return filepath.Join(dir, filePrefix+version+fileSuffix)
}
