package control

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// UpgradeRequest is what a user wants of an upgrade, or of its precheck.
type UpgradeRequest struct {
	Instance     string
	Target       upgrade.Major
	Mode         upgrade.Mode // empty: zero-downtime
	Options      upgrade.Options
	TargetPgdata string // empty: chosen by the agent
	TargetPort   int    // 0: a free one
	// RequireReport refuses an upgrade without a report that passed and is valid.
	RequireReport bool
}

// plan decides: it makes a plan of a request, without a number, or says why it cannot be done.
func (c *Control) plan(ctx context.Context, req UpgradeRequest) (upgrade.Plan, error) {
	if err := req.validate(); err != nil {
		return upgrade.Plan{}, err
	}
	instance, err := c.catalog.Instance(ctx, req.Instance)
	if err != nil {
		return upgrade.Plan{}, ofRecord(err)
	}
	if err := newer(req.Target, instance); err != nil {
		return upgrade.Plan{}, err
	}
	if err := req.fits(instance); err != nil {
		return upgrade.Plan{}, err
	}
	if err := c.refuseWhileRunning(ctx, req.Instance, upgrade.TaskUpgrade); err != nil {
		return upgrade.Plan{}, ofRecord(err)
	}
	source, err := c.inspect(ctx, instance)
	if err != nil {
		return upgrade.Plan{}, err
	}
	var target upgrade.Cluster
	args := step.ChooseTargetArgs{Source: source, Major: req.Target, Pgdata: req.TargetPgdata, Port: req.TargetPort, InPlace: req.Mode == upgrade.InPlace}
	if err := c.ask(ctx, source.Host, step.ChooseTarget, args, &target); err != nil {
		return upgrade.Plan{}, err
	}
	if req.Mode == upgrade.InPlace {
		target.Port = source.Port // it takes over the source's, so that clients find it where they look
	}
	if instance.Endpoint.Driver != "" {
		check := step.CheckEndpointArgs{Endpoint: instance.Endpoint, Cluster: source}
		if err := c.ask(ctx, source.Host, step.CheckEndpoint, check, nil); err != nil {
			return upgrade.Plan{}, err
		}
	}
	return upgrade.Plan{
		Instance: instance.ID, Mode: req.Mode, Source: source, Target: target,
		Endpoint: instance.Endpoint, Options: req.Options, Hooks: instance.Hooks,
	}, nil
}

// fits refuses options that cannot be fulfilled for an instance: they are not ignored.
func (r *UpgradeRequest) fits(instance upgrade.Instance) error {
	refused := func(reason, remedy string) error {
		return &upgrade.Refused{Reason: fmt.Sprintf("instance %s has no %s", instance.ID, reason), Remedy: remedy, Cause: upgrade.CauseOption}
	}
	nobodyWaits := r.Mode == upgrade.InPlace && instance.Endpoint.Driver == ""
	switch {
	case r.Options.SwitchInWindow && instance.Window == nil:
		return refused("maintenance window to switch over in", "give it one (pgleap instance set --window), or switch over at another time")
	case nobodyWaits && r.Options.Statistics == upgrade.StatisticsBefore:
		return refused("endpoint at which clients could wait for statistics", "collect them after the upgrade, or give it an endpoint")
	case nobodyWaits && r.Options.WaitForStandbys:
		return refused("endpoint at which clients could wait for standbys", "leave that out, and they are made after the upgrade, or give it an endpoint")
	}
	return nil
}

// inspect asks the instance's cluster who it is now: it may be down, have a newer minor version or
// another port, or be another cluster in the same place.
func (c *Control) inspect(ctx context.Context, instance upgrade.Instance) (upgrade.Cluster, error) {
	var now upgrade.Cluster
	known := instance.Cluster
	args := step.InspectArgs{Pgdata: known.Pgdata, Superuser: known.Superuser}
	if err := c.ask(ctx, known.Host, step.Inspect, args, &now); err != nil {
		return now, err
	}
	if now.SystemIdentifier != known.SystemIdentifier {
		return now, &upgrade.Refused{
			Reason: fmt.Sprintf("the cluster in %s is not the one that was added as instance %s: its system identifier differs", known.Pgdata, instance.ID),
			Remedy: "remove the instance and add it again, if that is the cluster you mean",
			Cause:  upgrade.CauseNotPostgres,
		}
	}
	return now, nil
}

// validate checks what can be checked without looking anything up, and fills in the defaults.
func (r *UpgradeRequest) validate() error {
	if r.Mode == "" {
		r.Mode = upgrade.ZeroDowntime
	}
	modes := []upgrade.Mode{upgrade.InPlace, upgrade.BlueGreen, upgrade.ZeroDowntime, upgrade.Logical}
	if !slices.Contains(modes, r.Mode) {
		return &Invalid{Reason: fmt.Sprintf("mode %q is unknown", r.Mode), Remedy: fmt.Sprintf("choose %q, %q or %q", upgrade.ZeroDowntime, upgrade.BlueGreen, upgrade.InPlace), Cause: upgrade.CauseMode}
	}
	if r.Mode == upgrade.Logical {
		return unavailable(r.Mode)
	}
	if r.Mode != upgrade.ZeroDowntime && r.Options.Statistics == "" {
		r.Options.Statistics = upgrade.StatisticsAfter // before the switch means within the time that clients wait
	}
	if r.Mode == upgrade.BlueGreen && r.Options.SwitchoverTimeout == 0 {
		r.Options.SwitchoverTimeout = upgrade.LongSwitchoverTimeout
	}
	r.Options = r.Options.WithDefaults()
	if err := r.Options.Validate(); err != nil {
		return &Invalid{Reason: err.Error(), Cause: upgrade.CauseOption}
	}
	if err := r.validateForMode(); err != nil {
		return err
	}
	switch {
	case r.Target <= 0:
		return &Invalid{Reason: "the target version is missing", Remedy: "give a major version, such as 17", Cause: upgrade.CauseTarget}
	case r.TargetPgdata != "" && !filepath.IsAbs(r.TargetPgdata):
		return &Invalid{Reason: fmt.Sprintf("the data directory %q is not an absolute path", r.TargetPgdata), Remedy: "begin it with a slash"}
	case !isPlain(r.TargetPgdata):
		return &Invalid{Reason: fmt.Sprintf("the data directory %q has a control character in its name, or ends in a backslash", r.TargetPgdata), Remedy: "choose another name"}
	case !isPort(r.TargetPort):
		return &Invalid{Reason: fmt.Sprintf("%d is not a port number", r.TargetPort), Remedy: "choose 1 to 65535, or 0 for a free one"}
	}
	return nil
}

// isPlain tells whether a path can stand in a line of a file: in a unit of systemd's a backslash at the end would go on
// in the next line (systemd.syntax(7)).
func isPlain(path string) bool {
	return !strings.ContainsFunc(path, unicode.IsControl) && !strings.HasSuffix(filepath.Clean(path), `\`)
}

// validateForMode refuses options that the mode cannot fulfil: they are not ignored.
func (r *UpgradeRequest) validateForMode() error {
	only := func(option string, mode upgrade.Mode) error {
		return &Invalid{
			Reason: fmt.Sprintf("%s is for mode %q, not for %q", option, mode, r.Mode),
			Remedy: "leave it out, or choose that mode", Cause: upgrade.CauseOption,
		}
	}
	switch {
	case r.Mode == upgrade.InPlace && r.TargetPort != 0:
		return &Invalid{Reason: "in mode in-place the target takes over the source's port", Remedy: "leave the target's port out", Cause: upgrade.CauseOption}
	case r.Mode != upgrade.InPlace && r.Options.Transfer != upgrade.TransferAuto:
		return only("the choice of a transfer", upgrade.InPlace)
	case r.Mode != upgrade.BlueGreen && r.Options.CloneOnly:
		return only("making a clone only", upgrade.BlueGreen)
	case r.Mode != upgrade.BlueGreen && r.Mode != upgrade.InPlace && r.Options.SwitchInWindow:
		return only("switching in the maintenance window", upgrade.BlueGreen)
	case r.Mode == upgrade.InPlace && r.Options.CloneFrom != "":
		return &Invalid{Reason: "in mode in-place nothing is cloned that could be copied from a standby", Remedy: "leave that out, or choose another mode", Cause: upgrade.CauseOption}
	case r.Options.CloneOnly && r.Options.WaitForStandbys:
		return &Invalid{Reason: "a clone that is not switched to gets no standbys", Remedy: "leave one of the two out", Cause: upgrade.CauseOption}
	case r.Options.CloneOnly && r.Options.SwitchInWindow:
		return &Invalid{Reason: "a clone that is not switched to needs no window", Remedy: "leave one of the two out", Cause: upgrade.CauseOption}
	}
	return r.Options.RefuseUnacceptedSwap()
}

// unavailable refuses a mode that is not built yet.
func unavailable(mode upgrade.Mode) error {
	return &upgrade.Refused{
		Reason: fmt.Sprintf("mode %q is not available yet", mode),
		Remedy: fmt.Sprintf("choose %q, %q or %q", upgrade.ZeroDowntime, upgrade.BlueGreen, upgrade.InPlace),
		Cause:  upgrade.CauseModeUnavailable,
	}
}

// newer refuses a target that is not above the source.
func newer(target upgrade.Major, instance upgrade.Instance) error {
	source := instance.Cluster.Version
	if target > source.Major() {
		return nil
	}
	return &upgrade.Refused{
		Reason: fmt.Sprintf("instance %s runs PostgreSQL %s: it cannot be upgraded to %d", instance.ID, source, target),
		Remedy: fmt.Sprintf("choose a major version above %d", source.Major()),
		Cause:  upgrade.CauseTarget,
	}
}
