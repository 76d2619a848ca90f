package test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	huawei "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/test/harness"
)

// clouds is a scene that both clouds' own SDKs look at.
type clouds struct {
	*scene
	key      harness.AccessKey
	alibaba  *alibaba.Client
	huawei   *huawei.RdsClient
	huaweiID string // what Huawei calls the instance
}

func newClouds(s *scene) *clouds {
	s.t.Helper()
	c := &clouds{scene: s, huaweiID: s.instance.UUID + "in03"}
	var err error
	c.key, err = s.server.NewAccessKey(s.ctx)
	s.must(err)
	c.alibaba, err = s.server.Alibaba(c.key)
	s.must(err)
	c.huawei, err = s.server.Huawei(c.key)
	s.must(err)
	return c
}

// Alibaba Cloud's SDK drives a whole upgrade under load, from the precheck to the removal of the former
// cluster, and Huawei Cloud's follows it: both as they are, with another endpoint. What either
// tells is true.
func TestCloudSDKsDriveAnUpgrade(t *testing.T) {
	from, to := versions(t)
	s := newScene(t, from, to)
	c := newClouds(s)
	s.write()
	s.within("before", func() {
		c.listedAtAlibaba("Running")
		c.listedAtHuawei("ACTIVE")
		c.nothingYetAtAlibaba()
		c.nothingYetAtHuawei()
		c.offeredAtHuawei(true)
	})
	s.within("Alibaba: precheck", c.precheck)
	s.within("Huawei: inspection", func() { c.inspect(1) }) // Alibaba's was for another mode
	s.within("Huawei: token", c.useToken)

	var number int64
	s.within("Alibaba: upgrade", func() { number = c.startUpgrade() })
	s.within("Huawei: while it runs", func() { c.followedAtHuawei(number) })
	s.within("Alibaba: while it synchronizes", func() {
		c.followedAtAlibaba(number)
		c.listedAtAlibaba("TransingToOthers")
		c.listedAtHuawei("MODIFYING")
	})
	s.within("Alibaba: interrupted switchover", func() { c.interruptAtAlibaba(number) })
	s.within("Alibaba: switchover", c.switchOverAtAlibaba)
	s.within("Alibaba: removal of the former cluster, and of the way back", func() {
		s.serves(number)
		c.removeFormer(number)
	})
	var task upgrade.Task
	s.within("nothing is lost", func() {
		task = s.hasSucceeded(number)
		target := s.target()
		s.accept(s.prove(target))
		s.nothingOfOurs(target)
	})

	s.within("Alibaba: history", func() { c.toldByAlibaba(task) })
	s.within("Huawei: history", func() { c.toldByHuawei(task) })
	s.within("after", func() {
		c.listedAtAlibaba("Running")
		c.listedAtHuawei("ACTIVE")
		c.offeredAtHuawei(false)
	})
	s.within("secrets", func() { s.keepsSecret(c.key.Secret) })
}

// keepsSecret makes sure that a secret is nowhere in the server's log, nor in what it keeps.
func (s *scene) keepsSecret(secret string) {
	s.t.Helper()
	files := []string{s.server.Log}
	s.must(filepath.WalkDir(s.server.StateDir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return nil // what goes away meanwhile
	}))
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil && bytes.Contains(content, []byte(secret)) {
			s.t.Errorf("%s holds a secret", file)
		}
	}
	if len(files) < 4 {
		s.t.Errorf("the server keeps %v only: where is its record?", files)
	}
}
