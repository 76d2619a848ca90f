package aliyun

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The table of the vendor's permissions: the operation, how it is classified, and on what it is granted.
func TestAuthorizationTable(t *testing.T) {
	p := params{instanceID: "by-id", instanceName: "by-name"}
	got := map[string]string{}
	for _, a := range actions() {
		object := "none"
		if a.object != nil {
			object = a.object(p)
		}
		got[a.name] = fmt.Sprintf("%s %s unscoped=%t", a.level, object, a.unscoped)
	}
	want := map[string]string{
		"UpgradeDBInstanceMajorVersionPrecheck":   "get by-id unscoped=false",
		"DescribeUpgradeMajorVersionPrecheckTask": "get by-id unscoped=false",
		"UpgradeDBInstanceMajorVersion":           "update by-id unscoped=false",
		"DescribeUpgradeMajorVersionTasks":        "get by-id unscoped=false",
		"SwitchOverMajorVersionUpgrade":           "update by-name unscoped=true",
		"DescribeDBInstances":                     "list * unscoped=false",
		"DescribeDBInstanceAttribute":             "get by-id unscoped=false",
		"DescribeDBInstanceNetInfo":               "get by-id unscoped=false",
		"DescribeRegions":                         "list none unscoped=true",
		"ModifyDBInstanceMaintainTime":            "update by-id unscoped=false",
		"DeleteDBInstance":                        "delete by-id unscoped=false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Calls that read are taken for new a moment before that is written down.
func TestDescribingReads(t *testing.T) {
	for _, a := range actions() {
		if describes := strings.HasPrefix(a.name, "Describe"); a.reads != describes {
			t.Errorf("%s reads: %t", a.name, a.reads)
		}
	}
}

func TestRequiredParameters(t *testing.T) {
	got, tokens, cached := map[string][]string{}, []string{}, []string{}
	for _, a := range actions() {
		if len(a.required) > 0 {
			got[a.name] = a.required
		}
		if a.clientToken {
			tokens = append(tokens, a.name)
		}
		if a.cached {
			cached = append(cached, a.name)
		}
	}
	want := map[string][]string{
		"UpgradeDBInstanceMajorVersionPrecheck":   {"DBInstanceId", "TargetMajorVersion"},
		"DescribeUpgradeMajorVersionPrecheckTask": {"DBInstanceId"},
		"DescribeUpgradeMajorVersionTasks":        {"DBInstanceId"},
		"DescribeDBInstances":                     {"RegionId"},
		"DescribeDBInstanceAttribute":             {"DBInstanceId"},
		"DescribeDBInstanceNetInfo":               {"DBInstanceId"},
		"ModifyDBInstanceMaintainTime":            {"DBInstanceId", "MaintainTime"},
		"DeleteDBInstance":                        {"DBInstanceId"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("required (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"UpgradeDBInstanceMajorVersion", "SwitchOverMajorVersionUpgrade", "ModifyDBInstanceMaintainTime"}, tokens); diff != "" {
		t.Errorf("client tokens (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"DescribeUpgradeMajorVersionPrecheckTask", "DescribeUpgradeMajorVersionTasks"}, cached); diff != "" {
		t.Errorf("remembered (-want +got):\n%s", diff)
	}
}
