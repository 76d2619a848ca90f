package aliyun

// actions lists what is spoken, in the order in which an upgrade needs it: the upgrade itself, then
// what is asked about instances.
func actions() []action {
	list := []action{
		upgradeDBInstanceMajorVersionPrecheck,
		describeUpgradeMajorVersionPrecheckTask,
		upgradeDBInstanceMajorVersion,
		describeUpgradeMajorVersionTasks,
		switchOverMajorVersionUpgrade,
		describeDBInstances,
		describeDBInstanceAttribute,
		describeDBInstanceNetInfo,
		describeRegions,
		modifyDBInstanceMaintainTime,
		deleteDBInstance,
	}
	for i := range list {
		list[i].do = translated(list[i].do)
	}
	return list
}

// The parameters that name an instance.
const (
	instanceID   = "DBInstanceId"
	instanceName = "DBInstanceName" // SwitchOverMajorVersionUpgrade says so, and means the id
)

// byID is the object of the calls that name an instance by DBInstanceId.
func byID(p lookup) string { return p.text(instanceID) }

// byName is the object of the one call that names it by DBInstanceName.
func byName(p lookup) string { return p.text(instanceName) }

// everyInstance is the object of a call about all instances.
func everyInstance(lookup) string { return "*" }

// empty is the answer of a call that returns nothing but the request's id.
type empty struct{}
