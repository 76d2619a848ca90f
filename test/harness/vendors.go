package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	huawei "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3"
)

// AccessKey is what opens the vendors' APIs.
type AccessKey struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// NewAccessKey makes one, with further arguments of "access-key create".
func (s *Server) NewAccessKey(ctx context.Context, args ...string) (key AccessKey, err error) {
	err = s.JSON(ctx, &key, append([]string{"access-key", "create"}, args...)...)
	if err == nil && (key.ID == "" || key.Secret == "") {
		err = errors.New("pgleap access-key create tells no id, or no secret")
	}
	return key, err
}

// The names by which clients of a cloud call where they are. Here they mean nothing.
const (
	AlibabaRegion = "cn-hangzhou"
	HuaweiProject = "0123456789abcdef0123456789abcdef"
)

// Alibaba is Alibaba Cloud's own SDK, unmodified: of its settings, only the endpoint is another.
func (s *Server) Alibaba(key AccessKey) (*alibaba.Client, error) {
	scheme, host, err := s.endpoint()
	if err != nil {
		return nil, err
	}
	client, err := alibaba.NewClientWithOptions(AlibabaRegion,
		sdk.NewConfig().WithScheme(strings.ToUpper(scheme)), credentials.NewAccessKeyCredential(key.ID, key.Secret))
	if err != nil {
		return nil, fmt.Errorf("set Alibaba Cloud's SDK up: %w", err)
	}
	client.Domain = host
	client.SetTransport(s.transport())
	client.SetNoProxy(`127\.0\.0\.1`)
	client.SetReadTimeout(time.Minute) // to stop a former cluster takes its time
	return client, nil
}

// Huawei is Huawei Cloud's own SDK, unmodified: of its settings, only the endpoint is another.
func (s *Server) Huawei(key AccessKey) (*huawei.RdsClient, error) {
	address, err := s.Address()
	if err != nil {
		return nil, err
	}
	who, err := basic.NewCredentialsBuilder().WithAk(key.ID).WithSk(key.Secret).WithProjectId(HuaweiProject).SafeBuild()
	if err != nil {
		return nil, fmt.Errorf("set Huawei Cloud's SDK up: %w", err)
	}
	client, err := huawei.RdsClientBuilder().WithEndpoint(address).WithCredential(who).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpTransport(s.transport())).SafeBuild()
	if err != nil {
		return nil, fmt.Errorf("set Huawei Cloud's SDK up: %w", err)
	}
	return huawei.NewRdsClient(client), nil
}

// endpoint is the server's address in two parts.
func (s *Server) endpoint() (scheme, host string, err error) {
	address, err := s.Address()
	if err != nil {
		return "", "", err
	}
	scheme, host, _ = strings.Cut(address, "://")
	return scheme, host, nil
}

// transport trusts whom the tests' own client trusts, and makes a connection for each request.
func (s *Server) transport() *http.Transport {
	own, ok := s.http.Transport.(*http.Transport)
	if !ok {
		return &http.Transport{DisableKeepAlives: true}
	}
	return own.Clone()
}

// Send sends a request that somebody else has made, to whichever API.
func (s *Server) Send(r *http.Request) (*http.Response, error) { return s.http.Do(r) }

// StartTLSServer starts the built program, which is configured by PGLEAP_CONFIG to speak TLS, and waits
// until it is ready. Clients trust the certificates, whatever the server says of its own.
func (w *Workplace) StartTLSServer(ctx context.Context, binary string, trusted *x509.CertPool) (*Server, error) {
	s := &Server{
		Binary: binary, StateDir: filepath.Join(w.Dir, "state"), Log: filepath.Join(w.Logs(), "pgleap.log"),
		http: &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		}},
	}
	return s, s.Start(ctx)
}
