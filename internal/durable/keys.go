package durable

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pgleap/pgleap/internal/secret"
)

// The certificates never leave the machine and name no public thing, so nothing is gained by
// short lives, and a server that runs on past the end of its certificate stops every upgrade on
// it. Renewal happens at start only, so it happens early: whatever is loaded holds for at least
// minRemaining.
const (
	caLife       = 20 * 365 * 24 * time.Hour
	leafLife     = 5 * 365 * 24 * time.Hour
	minRemaining = 2 * 365 * 24 * time.Hour
)

// engineName is the name the engine is verified by, however it is dialled.
const engineName = "localhost"

// Keys are the two ends of the engine's mutual TLS. Every local user can reach a loopback port,
// and whoever reaches the engine can act as the agent; so it talks to holders of the client key
// only, and they check that it is the engine they talk to, before they hand it anything.
type Keys struct {
	authorities    *x509.CertPool
	server, client tls.Certificate
}

// LoadOrCreateKeys reads the engine's keys from dir, and makes what is missing, expires soon or
// was not signed by the authority there: a private authority, a certificate for the engine on
// loopback, and one for its clients. dir gets mode 0700, the files 0600; each file holds a
// certificate and its key together, so that they can never be of different ages.
func LoadOrCreateKeys(dir string) (*Keys, error) {
	k, err := loadOrCreateKeys(dir, time.Now())
	if err != nil {
		return nil, fmt.Errorf("prepare TLS keys: %w", err)
	}
	return k, nil
}

func loadOrCreateKeys(dir string, now time.Time) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := loadOrIssue(filepath.Join(dir, "ca.pem"), caTemplate(), nil, now)
	if err != nil {
		return nil, err
	}
	server, err := loadOrIssue(filepath.Join(dir, "server.pem"), serverTemplate(), &ca, now)
	if err != nil {
		return nil, err
	}
	client, err := loadOrIssue(filepath.Join(dir, "client.pem"), clientTemplate(), &ca, now)
	if err != nil {
		return nil, err
	}
	k := &Keys{authorities: x509.NewCertPool(), server: server, client: client}
	k.authorities.AddCert(ca.Leaf)
	return k, nil
}

// ServerTLS is for the engine's listeners: no client without our client certificate.
func (k *Keys) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{k.server},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    k.authorities,
	}
}

// ClientTLS is for whoever talks to the engine.
func (k *Keys) ClientTLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		ServerName:   engineName,
		Certificates: []tls.Certificate{k.client},
		RootCAs:      k.authorities,
	}
}

func caTemplate() x509.Certificate {
	return x509.Certificate{
		Subject:               pkix.Name{CommonName: "pgleap engine authority"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
}

func serverTemplate() x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: "pgleap engine"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{engineName},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
}

func clientTemplate() x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: "pgleap engine client"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// loadOrIssue returns the certificate in path if it will do, else a new one, which it leaves
// there. A nil authority means that the certificate signs itself.
func loadOrIssue(path string, template x509.Certificate, authority *tls.Certificate, now time.Time) (tls.Certificate, error) {
	text, err := secret.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, err
	}
	if err == nil {
		// What cannot be read is replaced like what has expired: nothing but the authority
		// depends on these keys, and everything it signed is replaced with it.
		if cert, err := tls.X509KeyPair(text, text); err == nil && holds(cert.Leaf, authority, now) {
			return cert, nil
		}
	}
	text, err = issue(template, authority, now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make %s: %w", path, err)
	}
	if err := secret.WriteFile(path, text, os.Rename); err != nil {
		return tls.Certificate{}, fmt.Errorf("write %s: %w", path, err)
	}
	return tls.X509KeyPair(text, text)
}

// holds tells whether the certificate is valid long enough and comes from the authority. The
// authority itself must outlive the certificates that it is about to sign.
func holds(cert *x509.Certificate, authority *tls.Certificate, now time.Time) bool {
	remaining := minRemaining
	parent := cert
	if authority == nil {
		remaining += leafLife
	} else {
		parent = authority.Leaf
	}
	return cert.NotBefore.Before(now) && cert.NotAfter.After(now.Add(remaining)) && cert.CheckSignatureFrom(parent) == nil
}

// issue makes a key and a certificate for it, both in the one PEM text that it returns.
func issue(template x509.Certificate, authority *tls.Certificate, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// An hour of grace for a clock that is set back after the first start.
	template.NotBefore = now.Add(-time.Hour)
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	parent, signer := &template, any(key)
	template.NotAfter = now.Add(caLife)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
		template.NotAfter = now.Add(leafLife)
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...), nil
}
