package native

import (
	"context"
	_ "embed"
	"log/slog"
	"net/http"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// BaseURL is the path that everything here is below.
const BaseURL = "/api/v1"

// Control is what the handlers ask for; *control.Control has it.
type Control interface {
	Ready(ctx context.Context) error
	Discover(ctx context.Context) ([]control.Discovered, error)
	AddInstance(ctx context.Context, who control.Actor, req control.AddRequest) (upgrade.Instance, error)
	Instance(ctx context.Context, id string) (upgrade.Instance, error)
	Instances(ctx context.Context) ([]upgrade.Instance, error)
	RemoveInstance(ctx context.Context, who control.Actor, id string, stopEndpoint bool) (control.Removal, error)
	Precheck(ctx context.Context, who control.Actor, req control.UpgradeRequest) (upgrade.Task, error)
	Upgrade(ctx context.Context, who control.Actor, req control.UpgradeRequest) (upgrade.Task, error)
	SetWindow(ctx context.Context, who control.Actor, instance string, w upgrade.Window) error
	SetHooks(ctx context.Context, who control.Actor, instance string, hooks upgrade.Hooks) error
	ConfirmBackup(ctx context.Context, who control.Actor, instance string) error
	RecheckFindings(ctx context.Context, who control.Actor, instance string, retry bool) (upgrade.Instance, error)
	SwitchoverWithin(ctx context.Context, who control.Actor, instanceOrNumber string, verb control.Verb, timeout time.Duration) (upgrade.Task, error)
	Tasks(ctx context.Context, filter control.TaskFilter) ([]upgrade.Task, error)
	Task(ctx context.Context, number int64) (upgrade.Task, error)
	Events(ctx context.Context, number, after int64, limit int) ([]control.Event, error)
	Lag(ctx context.Context, number int64, since time.Time) ([]control.LagSample, error)
	Report(ctx context.Context, number int64) (upgrade.Report, error)
	Formers(ctx context.Context) ([]control.Former, error)
	Former(ctx context.Context, id string) (control.Former, error)
	Retire(ctx context.Context, who control.Actor, id string) error
	Finish(ctx context.Context, who control.Actor, instanceOrNumber string, retire bool) (upgrade.Task, error)
	CreateAccessKey(ctx context.Context, who control.Actor, wanted control.NewAccessKey) (control.AccessKey, string, error)
	AccessKeys(ctx context.Context) ([]control.AccessKey, error)
	DisableAccessKey(ctx context.Context, who control.Actor, id string, disabled bool) (control.AccessKey, error)
	RotateAccessKey(ctx context.Context, who control.Actor, id string) (control.AccessKey, string, error)
	Audit(ctx context.Context, atMost int) ([]control.AuditEntry, error)
	Calls(ctx context.Context, atMost int) ([]control.Call, error)
}

//go:embed openapi.yaml
var document []byte

// New returns the handler of everything below BaseURL. Whoever does not know the token gets
// nothing but the state of health.
func New(c Control, token string, log *slog.Logger) http.Handler {
	failed := func(w http.ResponseWriter, r *http.Request, err error) { writeError(w, r, log, err) }
	misread := func(w http.ResponseWriter, r *http.Request, err error) { writeError(w, r, log, unreadable(err)) }
	mux := http.NewServeMux()
	HandlerWithOptions(
		NewStrictHandlerWithOptions(&api{control: c}, nil, StrictHTTPServerOptions{
			RequestErrorHandlerFunc: misread, ResponseErrorHandlerFunc: failed,
		}),
		StdHTTPServerOptions{BaseURL: BaseURL, BaseRouter: mux, ErrorHandlerFunc: misread},
	)
	mux.HandleFunc("GET "+BaseURL+"/openapi.yaml", serveDocument)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, http.StatusNotFound, "there is no "+r.Method+" "+r.URL.Path, "see "+BaseURL+"/openapi.yaml")
	})
	return guard(mux, token, log)
}

func serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(document) //nolint:errcheck // the caller went away
}

// api implements StrictServerInterface: one method an operation, each a translation.
type api struct{ control Control }
