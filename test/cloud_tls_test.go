package test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	alibaba "github.com/aliyun/alibaba-cloud-sdk-go/services/rds"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/rds/v3/model"

	"github.com/pgleap/pgleap/test/harness"
)

// A server with a certificate speaks TLS with everybody: the vendors' SDKs, and its own command line.
// A certificate that is renewed is served without a restart.
func TestServerSpeaksTLS(t *testing.T) {
	place, err := harness.NewWorkplace("pgleap-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, ctx: deadline(t), place: place}
	t.Cleanup(s.strike)
	dir := t.TempDir()
	trusted := x509.NewCertPool()
	s.certify(dir, 1, trusted)
	file := filepath.Join(dir, "pgleap.yaml")
	s.must(os.WriteFile(file, fmt.Appendf(nil, "tls:\n  certificate: %s/cert.pem\n  key: %s/key.pem\n", dir, dir), 0o600))
	t.Setenv("PGLEAP_CONFIG", file)
	s.server, err = place.StartTLSServer(s.ctx, pgleap, trusted)
	s.must(err)

	key, err := s.server.NewAccessKey(s.ctx) // by the command line
	s.must(err)
	s.within("first certificate", func() { s.answers(key) })
	s.certify(dir, 2, trusted)
	address, err := s.server.Address()
	s.must(err)
	host, isTLS := strings.CutPrefix(address, "https://")
	if !isTLS {
		t.Fatalf("the server says that it listens on %s", address)
	}
	s.must(harness.Await(s.ctx, 20*time.Second, "the second certificate", func(context.Context) error {
		conn, err := tls.Dial("tcp", host, &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12})
		if err != nil {
			return err
		}
		defer conn.Close()
		if serial := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); serial != 2 {
			return fmt.Errorf("certificate %d is served", serial)
		}
		return nil
	}))
	s.within("second certificate", func() { s.answers(key) })
	response, err := http.Get("http://" + host + "/api/v1/health") //nolint:gosec,noctx // our own server
	s.must(err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("who speaks no TLS gets %s", response.Status)
	}
}

// answers makes sure that the server answers everybody.
func (s *scene) answers(key harness.AccessKey) {
	s.t.Helper()
	var keys []harness.AccessKey
	s.must(s.server.JSON(s.ctx, &keys, "access-key", "list"))
	if len(keys) != 1 || keys[0].ID != key.ID || keys[0].Secret != "" {
		s.t.Errorf("the access keys are %+v", keys)
	}
	client, err := s.server.Alibaba(key)
	s.must(err)
	if _, err := client.DescribeRegions(alibaba.CreateDescribeRegionsRequest()); err != nil {
		s.t.Errorf("Alibaba's SDK: %v", err)
	}
	other, err := s.server.Huawei(key)
	s.must(err)
	if _, err := other.ListInstances(&model.ListInstancesRequest{}); err != nil {
		s.t.Errorf("Huawei's SDK: %v", err)
	}
}

// certify writes a certificate for 127.0.0.1 and its key, each at once, and trusts it.
func (s *scene) certify(dir string, serial int64, trusted *x509.CertPool) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprintf("certificate %d", serial)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	s.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	for name, content := range map[string][]byte{
		"cert.pem": certificate, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		path := filepath.Join(dir, name)
		s.must(os.WriteFile(path+".new", bytes.TrimSpace(content), 0o600))
		s.must(os.Rename(path+".new", path))
	}
	trusted.AppendCertsFromPEM(certificate)
}
