package cli

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// certificateFile holds the certificate of a server that speaks TLS, leaf first.
const certificateFile = "certificate.pem"

// trust says which server is the right one. The server leaves its certificate in its state directory,
// which only its user can write to: whoever shows that very certificate, and has its key, is it.
// Where there is none, the system's authorities decide.
func trust(stateDir string) *tls.Config {
	file := filepath.Join(stateDir, certificateFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// What is skipped is the check of names, dates and authorities. VerifyConnection, which runs at
		// every handshake, accepts one certificate only, so that nobody could vouch for another.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection is stricter
		VerifyConnection:   func(c tls.ConnectionState) error { return isThatOf(file, c) },
	}
}

// isThatOf compares the certificate that was shown with the one in a file. It reads the file each time:
// the server may have renewed its certificate.
func isThatOf(file string, c tls.ConnectionState) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the server's certificate: %w", err)
	}
	leaf, _ := pem.Decode(text)
	if leaf == nil || leaf.Type != "CERTIFICATE" {
		return fmt.Errorf("read the server's certificate: %s does not begin with one", file)
	}
	if len(c.PeerCertificates) == 0 || !bytes.Equal(c.PeerCertificates[0].Raw, leaf.Bytes) {
		return fmt.Errorf("the server's certificate is not the one in %s", file)
	}
	return nil
}
