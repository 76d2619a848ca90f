package durable

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func loadKeys(t *testing.T, dir string, now time.Time) *Keys {
	t.Helper()
	k, err := loadOrCreateKeys(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysAreMadeOnceAndKeptPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	made := loadKeys(t, dir, time.Now())
	wantMode(t, dir, 0o700)
	for _, name := range []string{"ca.pem", "server.pem", "client.pem"} {
		wantMode(t, filepath.Join(dir, name), 0o600)
	}
	read := loadKeys(t, dir, time.Now())
	if !made.server.Leaf.Equal(read.server.Leaf) || !made.client.Leaf.Equal(read.client.Leaf) {
		t.Error("a second start made new keys")
	}
	if err := handshake(t, made.ServerTLS(), read.ClientTLS()); err != nil {
		t.Errorf("keys of two starts do not fit each other: %v", err)
	}
}

func TestKeysAreRenewedInTime(t *testing.T) {
	tests := map[string]struct {
		later               time.Duration
		newCA, newLeafCerts bool
	}{
		"at once":                         {0, false, false},
		"while the leaves hold":           {leafLife - minRemaining - 2*time.Hour, false, false},
		"when the leaves come to end":     {leafLife - minRemaining, false, true},
		"when the leaves have ended":      {leafLife + time.Hour, false, true},
		"when the authority comes to end": {caLife - leafLife - minRemaining, true, true},
		"when all have ended":             {2 * caLife, true, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir, now := t.TempDir(), time.Now()
			before := loadKeys(t, dir, now)
			ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
			if err != nil {
				t.Fatal(err)
			}
			later := now.Add(test.later)
			after := loadKeys(t, dir, later)
			newCA, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
			if err != nil {
				t.Fatal(err)
			}
			if renewed := string(ca) != string(newCA); renewed != test.newCA {
				t.Errorf("authority renewed: %v, want %v", renewed, test.newCA)
			}
			if renewed := !before.server.Leaf.Equal(after.server.Leaf); renewed != test.newLeafCerts {
				t.Errorf("server certificate renewed: %v, want %v", renewed, test.newLeafCerts)
			}
			server, client := after.ServerTLS(), after.ClientTLS()
			clock := func() time.Time { return later.Add(minRemaining - time.Hour) }
			server.Time, client.Time = clock, clock
			if err := handshake(t, server, client); err != nil {
				t.Errorf("keys do not hold for another %v: %v", minRemaining, err)
			}
		})
	}
}

func TestKeysOfAnotherAuthorityAreReplaced(t *testing.T) {
	dir, foreign := t.TempDir(), t.TempDir()
	loadKeys(t, dir, time.Now())
	loadKeys(t, foreign, time.Now())
	if err := os.Rename(filepath.Join(foreign, "client.pem"), filepath.Join(dir, "client.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "server.pem"), []byte("cut off by a full disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := loadKeys(t, dir, time.Now())
	if err := handshake(t, k.ServerTLS(), k.ClientTLS()); err != nil {
		t.Error(err)
	}
}

func TestKeysThatOthersCanReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	loadKeys(t, dir, time.Now())
	if err := os.Chmod(filepath.Join(dir, "client.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := LoadOrCreateKeys(dir)
	if err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got error %v, want one that says what to do", err)
	}
}

func TestWhoMayTalkToWhom(t *testing.T) {
	ours, theirs := loadKeys(t, t.TempDir(), time.Now()), loadKeys(t, t.TempDir(), time.Now())
	withClient := func(change func(*tls.Config)) *tls.Config {
		c := ours.ClientTLS()
		change(c)
		return c
	}
	tests := map[string]struct {
		server, client *tls.Config
		ok             bool
	}{
		"our client": {ours.ServerTLS(), ours.ClientTLS(), true},
		"client by address instead of name": {ours.ServerTLS(), withClient(func(c *tls.Config) {
			c.ServerName = "127.0.0.1"
		}), true},
		"client without a certificate": {ours.ServerTLS(), withClient(func(c *tls.Config) {
			c.Certificates = nil
		}), false},
		"client with a foreign certificate": {ours.ServerTLS(), withClient(func(c *tls.Config) {
			c.Certificates = theirs.ClientTLS().Certificates
		}), false},
		"client with the server's certificate": {ours.ServerTLS(), withClient(func(c *tls.Config) {
			c.Certificates = ours.ServerTLS().Certificates
		}), false},
		"client of TLS 1.2": {ours.ServerTLS(), withClient(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		}), false},
		"foreign server":                       {theirs.ServerTLS(), ours.ClientTLS(), false},
		"server with the client's certificate": {&tls.Config{Certificates: ours.ClientTLS().Certificates}, ours.ClientTLS(), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := handshake(t, test.server, test.client); (err == nil) != test.ok {
				t.Errorf("got error %v, want success: %v", err, test.ok)
			}
		})
	}
}

// handshake connects two ends and has the server send a byte: in TLS 1.3 a client learns of its
// certificate's refusal only when it reads.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := conn.Write([]byte{1}); err != nil {
			// Wait for the client to have read the alert: closing with unread data resets.
			_, _ = conn.(*tls.Conn).NetConn().Read(make([]byte, 1))
		}
	}()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", listener.Addr().String(), client)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
