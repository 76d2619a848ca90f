package authz

// FullAccess is the policy of a key that may do everything.
func FullAccess() Policy {
	return builtIn(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
}

// ReadOnly is the policy of a key that may look at everything.
//
// It does not allow rds:UpgradeDBInstanceMajorVersionPrecheck: the vendor counts that as reading,
// but it starts a task that works on the instance's host. Huawei's inspection is the same task, yet
// it goes by rds:instance:listAll like every other reading there, so a key with this policy can
// start one.
func ReadOnly() Policy {
	return builtIn(`{"Version":"1","Statement":[{"Effect":"Allow",
		"Action":["rds:Describe*","rds:instance:list","rds:instance:listAll"],"Resource":"*"}]}`)
}

func builtIn(document string) Policy {
	p, err := Parse([]byte(document))
	if err != nil {
		panic(err) // the documents are those above
	}
	return p
}
