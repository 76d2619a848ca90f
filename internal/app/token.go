package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/secret"
)

// loadOrCreateToken reads the API's token, or makes one that only this user can read.
func loadOrCreateToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(text)) != "" {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := rand.Text() + rand.Text()
	if err := writePrivate(path, token+"\n"); err != nil {
		return "", fmt.Errorf("write the token: %w", err)
	}
	return token, nil
}

// announce tells the command line where the server listens.
func (s *Server) announce() error {
	address := s.Address()
	if s.scheme == "https" {
		address = "https://" + address
	} else {
		_ = os.Remove(filepath.Join(s.config.StateDir, certificateFile))
	}
	path := filepath.Join(s.config.StateDir, "address")
	if err := writePrivate(path, address+"\n"); err != nil {
		return fmt.Errorf("write the address: %w", err)
	}
	s.closers = append(s.closers, func() { _ = os.Remove(path) })
	return nil
}

// certificateFile is where the command line finds the server's certificate, which it trusts however
// its names read.
const certificateFile = "certificate.pem"

func (s *Server) announceCertificate(chain [][]byte) error {
	if err := writePrivate(filepath.Join(s.config.StateDir, certificateFile), pemOf(chain)); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	return nil
}

// writePrivate writes a file for this user alone, at once or not at all.
func writePrivate(path, content string) error {
	return secret.WriteFile(path, []byte(content), os.Rename)
}
