package test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3/model"

	"github.com/pgleap/pgleap/test/harness"
)

// A key that calls too often is told so, and when to call again; it is answered then. Other keys are answered meanwhile.
func TestKeysAreThrottled(t *testing.T) {
	place, err := harness.NewWorkplace("pgleap-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, ctx: deadline(t), place: place}
	t.Cleanup(s.strike)
	file := filepath.Join(t.TempDir(), "pgleap.yaml")
	s.must(os.WriteFile(file, []byte("requests_per_second: 1\n"), 0o600))
	t.Setenv("PGLEAP_CONFIG", file)
	s.server, err = place.StartServer(s.ctx, pgleap)
	s.must(err)

	hasty, err := s.server.NewAccessKey(s.ctx)
	s.must(err)
	other, err := s.server.NewAccessKey(s.ctx)
	s.must(err)
	s.within("Alibaba", func() { s.throttledAtAlibaba(hasty) })
	s.within("Huawei", func() { s.throttledAtHuawei(hasty) })
	s.within("another key", func() { s.must(s.regions(other)) })
}

// regions calls Alibaba Cloud's API.
func (s *scene) regions(key harness.AccessKey) error {
	client, err := s.server.Alibaba(key)
	s.must(err)
	_, err = client.DescribeRegions(alibaba.CreateDescribeRegionsRequest())
	return err
}

// tooOften calls until it is refused.
func (s *scene) tooOften(call func() error) error {
	s.t.Helper()
	for range 20 {
		if err := call(); err != nil {
			return err
		}
	}
	s.t.Fatal("20 calls in a row were answered")
	return nil
}

func (s *scene) throttledAtAlibaba(key harness.AccessKey) {
	err := s.tooOften(func() error { return s.regions(key) })
	s.refusedByAlibaba(err, http.StatusBadRequest, "Throttling.User")
	refused, _ := errors.AsType[*sdkerrors.ServerError](err)
	after := http.Header(refused.RespHeaders).Get("x-acs-retry-after")
	if milliseconds, err := strconv.Atoi(after); err != nil || milliseconds < 1 || milliseconds > 1100 {
		s.t.Errorf("to be called again after %q milliseconds", after)
	}
	s.must(harness.Await(s.ctx, 10*time.Second, "the key to be answered again", func(context.Context) error { return s.regions(key) }))
}

func (s *scene) throttledAtHuawei(key harness.AccessKey) {
	client, err := s.server.Huawei(key)
	s.must(err)
	err = s.tooOften(func() error {
		_, err := client.ListInstances(&model.ListInstancesRequest{})
		return err
	})
	if said := s.refusedByHuawei(err, http.StatusTooManyRequests, "APIGW.0308"); said == "" {
		s.t.Error(fmt.Errorf("refused without a word: %w", err))
	}
}
