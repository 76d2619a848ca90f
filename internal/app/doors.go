package app

import (
	"net/http"
	"strings"

	"github.com/pgleap/pgleap/internal/api/aliyun"
	"github.com/pgleap/pgleap/internal/api/huawei"
	"github.com/pgleap/pgleap/internal/api/native"
)

// doors leads each request to its API. The vendors' SDKs decide on the paths: Huawei's begin with
// /v3/, and Alibaba's know the root only, with or without a prefix.
func (s *Server) doors(token string) http.Handler {
	ours := native.New(s.control, token, s.log)
	zone, _ := s.config.Huawei.Zone() // it was validated; UTC otherwise
	huaweiCloud := huawei.New(s.control, huawei.Options{Region: s.config.Region, Zone: zone}, s.log)
	aliyunCloud := aliyun.New(s.control, aliyun.Options{
		Region: s.config.Region, WireTypes: s.config.Aliyun.WireTypes, DetailNewline: s.config.Aliyun.DetailNewline,
		SignatureV1: s.config.Aliyun.SignatureV1, EchoStringToSign: s.config.Aliyun.EchoStringToSign,
		ExternalHosts: s.config.Aliyun.Hosts,
	}, s.log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/api" || strings.HasPrefix(path, "/api/"):
			ours.ServeHTTP(w, r)
		case path == "/v3" || strings.HasPrefix(path, "/v3/"):
			huaweiCloud.ServeHTTP(w, r)
		default:
			aliyunCloud.ServeHTTP(w, r)
		}
	})
}
