// Package secret keeps what must not be read by others: keys in private files, and what is sealed
// with them.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const keyBytes = 32 // AES-256

// Key seals and opens.
type Key struct {
	id   string
	aead cipher.AEAD
}

// LoadOrCreate reads the key at path, or makes one there (mode 0600).
func LoadOrCreate(path string) (*Key, error) {
	text, err := ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != keyBytes {
		// The error of hex quotes what it read: not for a log.
		return nil, fmt.Errorf("load key: %s must hold %d hexadecimal digits: restore it from a backup; "+
			"what was sealed with it cannot be read without", path, 2*keyBytes)
	}
	return NewKey(raw)
}

// create makes a key, unless another process was faster: then that one's counts.
func create(path string) ([]byte, error) {
	raw := make([]byte, keyBytes)
	rand.Read(raw) //nolint:errcheck // never fails since Go 1.24
	text := []byte(hex.EncodeToString(raw) + "\n")
	if err := WriteFile(path, text, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return ReadFile(path)
}

// NewKey makes a key of 32 bytes.
func NewKey(raw []byte) (*Key, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	// Random 96-bit nonces are safe for 2^32 messages a key (NIST SP 800-38D, 8.3).
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	sum := sha256.Sum256(append([]byte("pgleap payload key id\x00"), raw...))
	return &Key{id: hex.EncodeToString(sum[:8]), aead: aead}, nil
}

// ID names the key without telling anything of it. It may stand in clear beside what is sealed.
func (k *Key) ID() string { return k.id }

// Seal encrypts and authenticates. What is sealed can be opened with the same label only, which
// keeps it from being taken for something else.
func (k *Key) Seal(plain, label []byte) []byte {
	return k.aead.Seal(nil, nil, plain, label) //nolint:gosec // this AEAD makes its own random nonces
}

// Open undoes Seal.
func (k *Key) Open(sealed, label []byte) ([]byte, error) {
	plain, err := k.aead.Open(nil, nil, sealed, label)
	if err != nil {
		return nil, fmt.Errorf("open what was sealed with key %s: %w", k.id, err)
	}
	return plain, nil
}
