package huawei

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

type availableVersions struct {
	Versions []string `json:"available_versions"`
}

// availableVersion lists the versions that the instance can be upgraded to: those that are
// installed on its host and newer than its own.
func (a *api) availableVersion(ctx context.Context, _ *call, instance upgrade.Instance) (any, error) {
	targets, err := a.control.Targets(ctx, instance.ID)
	if err != nil {
		return nil, err
	}
	answer := availableVersions{Versions: []string{}}
	for _, v := range targets {
		answer.Versions = append(answer.Versions, v.String())
	}
	return answer, nil
}
