package aliyun

import (
	"context"
	"strings"
)

// describeRegions tells the one region that there is.
var describeRegions = action{
	name: "DescribeRegions", level: "list", unscoped: true, reads: true,
	do: func(_ context.Context, a *api, c *call) (any, error) {
		language := c.params.text("AcceptLanguage")
		if err := oneOf(c.params, "AcceptLanguage", "Parameters.Invalid", "en-US", "zh-CN"); err != nil {
			return nil, err
		}
		region := rdsRegion{
			RegionID: a.options.Region, ZoneID: a.zone(),
			LocalName: "This server", ZoneName: "This server, zone a",
			RegionEndpoint: strings.Join(a.options.ExternalHosts[:min(1, len(a.options.ExternalHosts))], ""),
		}
		if language == "zh-CN" {
			region.LocalName, region.ZoneName = "本服务器", "本服务器可用区 A"
		}
		var answer regions
		answer.Regions.RDSRegion = []rdsRegion{region}
		return answer, nil
	},
}

// regions is the answer.
type regions struct {
	Regions struct{ RDSRegion []rdsRegion }
}

type rdsRegion struct {
	RegionID       string `json:"RegionId"`
	ZoneID         string `json:"ZoneId"`
	LocalName      string
	ZoneName       string
	RegionEndpoint string
}

// zone is the one zone of the region.
func (a *api) zone() string { return a.options.Region + "-a" }
