package native

import (
	"bytes"
	"context"
	"time"

	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/report"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What a list holds when nothing is said.
const (
	defaultTasks  = 100
	defaultEvents = 1000
)

// GetHealth implements StrictServerInterface.
func (a *api) GetHealth(ctx context.Context, _ GetHealthRequestObject) (GetHealthResponseObject, error) {
	if err := a.control.Ready(ctx); err != nil {
		return nil, err
	}
	return GetHealth200JSONResponse{Status: Ready}, nil
}

// StartPrecheck implements StrictServerInterface.
func (a *api) StartPrecheck(ctx context.Context, r StartPrecheckRequestObject) (StartPrecheckResponseObject, error) {
	task, err := a.control.Precheck(ctx, actor(ctx), upgradeRequest(r.Id, r.Body))
	if err != nil {
		return nil, err
	}
	return StartPrecheck202JSONResponse(task), nil
}

// StartUpgrade implements StrictServerInterface.
func (a *api) StartUpgrade(ctx context.Context, r StartUpgradeRequestObject) (StartUpgradeResponseObject, error) {
	task, err := a.control.Upgrade(ctx, actor(ctx), upgradeRequest(r.Id, r.Body))
	if err != nil {
		return nil, err
	}
	return StartUpgrade202JSONResponse(task), nil
}

func upgradeRequest(instance string, b *UpgradeRequest) control.UpgradeRequest {
	return control.UpgradeRequest{
		Instance: instance, Target: b.Target, Mode: b.Mode, Options: b.Options,
		TargetPgdata: b.TargetPgdata, TargetPort: b.TargetPort,
	}
}

// SwitchOver implements StrictServerInterface.
func (a *api) SwitchOver(ctx context.Context, r SwitchOverRequestObject) (SwitchOverResponseObject, error) {
	if verb := control.Verb(r.Body.Verb); verb == control.VerbFinish {
		task, err := a.control.Finish(ctx, actor(ctx), r.Id, r.Body.Retire)
		if err != nil {
			return nil, err
		}
		return SwitchOver202JSONResponse(task), nil
	}
	timeout := time.Duration(r.Body.TimeoutSeconds) * time.Second
	task, err := a.control.SwitchoverWithin(ctx, actor(ctx), r.Id, control.Verb(r.Body.Verb), timeout)
	if err != nil {
		return nil, err
	}
	return SwitchOver202JSONResponse(task), nil
}

// ListTasks implements StrictServerInterface.
func (a *api) ListTasks(ctx context.Context, r ListTasksRequestObject) (ListTasksResponseObject, error) {
	limit, err := limited(r.Params.Limit, defaultTasks)
	if err != nil {
		return nil, err
	}
	if s := r.Params.Status; s != "" && !s.Valid() {
		return nil, &control.Invalid{Reason: "status \"" + string(s) + "\" is unknown", Remedy: "choose running, succeeded, failed or cancelled"}
	}
	tasks, err := a.control.Tasks(ctx, control.TaskFilter{
		Instance: r.Params.Instance, Status: upgrade.Status(r.Params.Status), Limit: limit,
	})
	if err != nil {
		return nil, err
	}
	return ListTasks200JSONResponse(list(tasks)), nil
}

// limited returns the limit of a list.
func limited(wanted, standard int) (int, error) {
	switch {
	case wanted == 0:
		return standard, nil
	case wanted < 0 || wanted > 1000:
		return 0, &control.Invalid{Reason: "the limit is out of range", Remedy: "choose 1 to 1000"}
	}
	return wanted, nil
}

// GetTask implements StrictServerInterface.
func (a *api) GetTask(ctx context.Context, r GetTaskRequestObject) (GetTaskResponseObject, error) {
	task, err := a.control.Task(ctx, r.Number)
	if err != nil {
		return nil, err
	}
	return GetTask200JSONResponse(task), nil
}

// ListEvents implements StrictServerInterface.
func (a *api) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	limit, err := limited(r.Params.Limit, defaultEvents)
	if err != nil {
		return nil, err
	}
	events, err := a.control.Events(ctx, r.Number, r.Params.After, limit)
	if err != nil {
		return nil, err
	}
	answer := make([]Event, 0, len(events))
	for _, e := range events {
		answer = append(answer, wireEvent(e))
	}
	return ListEvents200JSONResponse(answer), nil
}

func wireEvent(e control.Event) Event {
	return Event{Seq: e.Seq, At: e.At, Level: e.Level, Phase: e.Phase, Text: e.Text}
}

// ListLag implements StrictServerInterface.
func (a *api) ListLag(ctx context.Context, r ListLagRequestObject) (ListLagResponseObject, error) {
	samples, err := a.control.Lag(ctx, r.Number, r.Params.Since)
	if err != nil {
		return nil, err
	}
	answer := make([]LagSample, 0, len(samples))
	for _, s := range samples {
		answer = append(answer, LagSample{
			At: s.At, Bytes: s.Bytes, LagSeconds: s.LagSeconds,
			RetainedWAL: s.RetainedWAL, EtaSeconds: s.ETASeconds,
		})
	}
	return ListLag200JSONResponse(answer), nil
}

// GetReport implements StrictServerInterface.
func (a *api) GetReport(ctx context.Context, r GetReportRequestObject) (GetReportResponseObject, error) {
	found, err := a.control.Report(ctx, r.Number)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	switch r.Params.Format {
	case "", Json:
		return GetReport200JSONResponse(report.NewDocument(found)), nil
	case Markdown:
		err = report.Write(&page, report.Markdown, found, report.Style{})
		return GetReport200TextmarkdownResponse{Body: &page, ContentLength: int64(page.Len())}, err
	case Html:
		err = report.Write(&page, report.HTML, found, report.Style{})
		return GetReport200TexthtmlResponse{Body: &page, ContentLength: int64(page.Len())}, err
	}
	return nil, &control.Invalid{Reason: "format \"" + string(r.Params.Format) + "\" is unknown", Remedy: "choose json, markdown or html"}
}
