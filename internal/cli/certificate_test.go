package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// encrypted replaces the server by one that speaks TLS, and returns its certificate.
func (s *server) encrypted(t *testing.T) string {
	t.Helper()
	encrypted := httptest.NewUnstartedServer(s.http.Config.Handler)
	encrypted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	encrypted.StartTLS()
	t.Cleanup(encrypted.Close)
	s.http = encrypted
	s.write(t, addressFile, encrypted.URL+"\n")
	return pemOf(encrypted.Certificate().Raw)
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// another returns a certificate that is valid, for the same address, and not the server's.
func another(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"127.0.0.1"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(der)
}

func TestTheServersOwnCertificateIsTrustedAndNoOther(t *testing.T) {
	s := startServer(t)
	own, foreign := s.encrypted(t), another(t)
	if got := run(t, "tasks"); got.code != ExitUnreachable || !strings.Contains(got.stderr, "certificate") {
		t.Errorf("without a certificate in the state directory: got %+v", got)
	}
	for name, test := range map[string]struct {
		file   string
		code   int
		reason string
	}{
		"its own":                        {own, ExitOK, ""},
		"its own, before its issuer's":   {own + foreign, ExitOK, ""},
		"another":                        {foreign, ExitUnreachable, "the server's certificate is not the one in"},
		"another, before the server's":   {foreign + own, ExitUnreachable, "the server's certificate is not the one in"},
		"a file that holds none":         {"nonsense", ExitUnreachable, "does not begin with one"},
		"a file that holds a key":        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ExitUnreachable, "does not begin with one"},
		"an empty file, just being made": {"", ExitUnreachable, "does not begin with one"},
	} {
		s.write(t, certificateFile, test.file)
		if got := run(t, "tasks"); got.code != test.code || !strings.Contains(got.stderr, test.reason) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestRenewedCertificateIsTrustedWithoutANewStart(t *testing.T) {
	s := startServer(t)
	own := s.encrypted(t)
	s.write(t, certificateFile, another(t))
	client := &http.Client{Transport: transport(s.stateDir)}
	ask := func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.http.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	if err := ask(); err == nil {
		t.Error("another certificate was trusted")
	}
	s.write(t, certificateFile, own)
	if err := ask(); err != nil {
		t.Errorf("after the server left its certificate: %v", err)
	}
}
