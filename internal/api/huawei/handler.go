package huawei

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Control is what the operations ask for; *control.Control has it.
type Control interface {
	HasAccessKeys(ctx context.Context) (bool, error)
	Caller(ctx context.Context, keyID string) (control.Caller, error)
	UseNonce(ctx context.Context, keyID, nonce string, until time.Time) error
	Admit(keyID string) error
	RecordCall(call control.Call)
	RecordStranger(call control.Call)

	Instance(ctx context.Context, id string) (upgrade.Instance, error)
	Instances(ctx context.Context) ([]upgrade.Instance, error)
	InstanceByUUID(ctx context.Context, uuid string) (upgrade.Instance, error)
	Revision(ctx context.Context, instance string) (int64, error)
	InstanceStates(ctx context.Context) (map[string]control.InstanceState, error)
	Reached(host string, listen upgrade.Address) upgrade.Address
	Formers(ctx context.Context) ([]control.Former, error)
	Targets(ctx context.Context, instance string) ([]upgrade.VersionNum, error)

	Precheck(ctx context.Context, who control.Actor, req control.UpgradeRequest) (upgrade.Task, error)
	Upgrade(ctx context.Context, who control.Actor, req control.UpgradeRequest) (upgrade.Task, error)
	History(ctx context.Context, filter control.HistoryFilter) ([]control.Summary, int, error)
	LatestTask(ctx context.Context, instance string, kind upgrade.TaskKind, mode upgrade.Mode) (control.Summary, error)
	TaskByID(ctx context.Context, id string) (upgrade.Task, error)
	Reports(ctx context.Context, numbers []int64) (map[int64]upgrade.Report, error)
}

// Options are what differs between installations.
type Options struct {
	// Region is the region's id in resource names and answers.
	Region string
	// Zone is the time zone of the times in answers; UTC unless given.
	Zone *time.Location
	// Now is time.Now unless given.
	Now func() time.Time
}

// New returns the handler of everything below /v3/. While there is no access key it does not
// give away that it is there.
func New(c Control, o Options, log *slog.Logger) http.Handler {
	a := &api{control: c, region: o.Region, clock: clock{o.Zone}, now: o.Now, log: log, memory: newMemory(maxRemembered)}
	if a.clock.zone == nil {
		a.clock.zone = time.UTC
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.route()
	return a
}

// api is the facade. Its operations are methods, one a file.
type api struct {
	control Control
	region  string
	clock   clock
	now     func() time.Time
	log     *slog.Logger
	memory  *memory
	mux     *http.ServeMux
}

// route lists the operations, by the vendor's names. A literal segment wins over a variable one, so
// that /v3/projects is no project.
func (a *api) route() {
	a.mux = http.NewServeMux()
	handle := func(pattern, name string, do operation) {
		a.mux.Handle(pattern, a.serve(name, http.StatusOK, a.known(do)))
	}
	version := func(method, path, name string, act action, do instanceOperation) {
		handle(method+" /v3/{project_id}/instances/{instance_id}/major-version/"+path, name, a.onInstance(act, do))
	}
	version("GET", "available-version", "ShowAvailableVersion", actionList, a.availableVersion)
	version("POST", "inspection", "UpgradeDbMajorVersionPreCheck", actionList, a.inspect)
	version("GET", "status", "ShowUpgradeDbMajorVersionStatus", actionList, a.status)
	version("POST", "upgrade", "UpgradeDbMajorVersion", actionUpdate, a.upgrade)
	version("GET", "inspection-histories", "ListInspectionHistories", actionList, a.inspectionHistories)
	version("GET", "upgrade-histories", "ListUpgradeHistories", actionList, a.upgradeHistories)
	handle("GET /v3/{project_id}/jobs", "ListJobInfo", a.job)
	handle("GET /v3/{project_id}/instances", "ListInstances", a.instances)
	handle("GET /v3/projects", "KeystoneListProjects", a.projects)
	a.mux.Handle("POST /v3/auth/tokens", a.serve("KeystoneCreateUserTokenByPassword", http.StatusCreated, a.issueToken))
	a.mux.Handle("/", a.serve(unknown, 0, func(_ context.Context, c *call) (any, error) {
		return nil, unknownAPI(c.request)
	}))
}

func unknownAPI(r *http.Request) *failure {
	return refuse(codeUnknownAPI, msgUnknownAPI, "method", printable(r.Method), "path", printable(r.URL.Path))
}
