package app

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/pgleap/pgleap/internal/config"
)

// certificate is the server's, read again when its files change, so that it can be renewed while
// the server runs.
type certificate struct {
	files config.TLS
	log   *slog.Logger
	// changed is told the new certificate, leaf first.
	changed func(chain [][]byte) error

	mu      sync.Mutex
	current *tls.Certificate
	stamp   [2]time.Time // when the files were written
	looked  time.Time
}

// lookAgain is how long files are taken to be unchanged.
const lookAgain = time.Second

func newCertificate(files config.TLS, changed func([][]byte) error, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log, changed: changed}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("read the TLS certificate: %w", err)
	}
	return c, nil
}

// config is what a listener needs.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
}

// get returns the certificate for a new connection. Files that cannot be read, or do not fit each
// other because only one of them has been replaced so far, leave the former certificate in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= lookAgain {
		if stamp, err := c.written(); err != nil || stamp != c.stamp {
			if err := c.load(); err != nil {
				c.log.Error("TLS certificate not read again, the former one stays in use", "error", err)
			} else {
				c.log.Info("TLS certificate read again", "file", c.files.Certificate)
			}
		}
		c.looked = time.Now()
	}
	return c.current, nil
}

func (c *certificate) load() error {
	stamp, err := c.written()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return err
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		c.log.Warn("TLS certificate has expired", "file", c.files.Certificate, "expired", pair.Leaf.NotAfter)
	}
	if err := c.changed(pair.Certificate); err != nil {
		if c.current == nil {
			return err
		}
		c.log.Error("renewed TLS certificate not written down for the command line", "error", err)
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (c *certificate) written() (stamp [2]time.Time, err error) {
	for i, file := range []string{c.files.Certificate, c.files.Key} {
		info, err := os.Stat(file)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

// pemOf writes a chain as people exchange it.
func pemOf(chain [][]byte) string {
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return string(text)
}
