package durable

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

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

const (
	keyBytes = 32 // AES-256

	// encodingEncrypted marks our payloads; the name is the one that Temporal's samples and
	// codec servers use for encrypted payloads.
	encodingEncrypted = "binary/encrypted"
	metadataKeyID     = "encryption-key-id"
)

// PayloadKey encrypts what pgleap puts into workflow histories: arguments, results, heart-beat
// details, error messages. Whoever holds the engine's file or reaches its port sees none of it.
type PayloadKey struct {
	id   string
	aead cipher.AEAD
}

// LoadOrCreateKey reads the payload key at path, or makes one there (mode 0600). A host's agent
// needs a copy of the server's file.
func LoadOrCreateKey(path string) (*PayloadKey, error) {
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = createKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load payload key: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != keyBytes {
		// The error of hex quotes what it read: not for a log.
		return nil, fmt.Errorf("load payload key: %s must hold %d hexadecimal digits: restore it from a backup; "+
			"running upgrades cannot be read without", path, 2*keyBytes)
	}
	return newPayloadKey(raw)
}

// createKey makes a key, unless another process was faster: then that one's counts.
func createKey(path string) ([]byte, error) {
	raw := make([]byte, keyBytes)
	rand.Read(raw) // never fails since Go 1.24
	text := []byte(hex.EncodeToString(raw) + "\n")
	if err := writePrivate(path, text, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readPrivate(path)
}

func newPayloadKey(raw []byte) (*PayloadKey, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("make payload cipher: %w", err)
	}
	// Random 96-bit nonces are safe for 2^32 payloads a key (NIST SP 800-38D, 8.3).
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make payload cipher: %w", err)
	}
	sum := sha256.Sum256(append([]byte("pgleap payload key id\x00"), raw...))
	return &PayloadKey{id: hex.EncodeToString(sum[:8]), aead: aead}, nil
}

// ID names the key without telling anything of it. It stands in clear beside every payload.
func (k *PayloadKey) ID() string { return k.id }

// NewDataConverter returns the SDK's default conversion with each payload encrypted and
// authenticated as a whole, its metadata included.
func NewDataConverter(key *PayloadKey) converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), payloadCodec{key})
}

// NewFailureConverter encrypts messages and stack traces of failures too, which the SDK's
// default leaves in clear.
func NewFailureConverter(dc converter.DataConverter) converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          dc,
		EncodeCommonAttributes: true,
	})
}

// payloadCodec implements converter.PayloadCodec.
type payloadCodec struct{ key *PayloadKey }

// Encode implements converter.PayloadCodec.
func (c payloadCodec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, c.seal)
}

// Decode implements converter.PayloadCodec. It is strict: a payload that is not ours is an
// error, else whoever can write to the engine could slip arguments in by leaving them in clear.
func (c payloadCodec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, c.open)
}

func each(in []*commonpb.Payload, f func(*commonpb.Payload) (*commonpb.Payload, error)) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		q, err := f(p)
		if err != nil {
			return nil, err
		}
		out[i] = q
	}
	return out, nil
}

func (c payloadCodec) seal(p *commonpb.Payload) (*commonpb.Payload, error) {
	plain, err := proto.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encrypt payload: %w", err)
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{
			converter.MetadataEncoding: []byte(encodingEncrypted),
			metadataKeyID:              []byte(c.key.id),
		},
		Data: c.key.aead.Seal(nil, nil, plain, []byte(c.key.id)), //nolint:gosec // this AEAD makes its own random nonces
	}, nil
}

func (c payloadCodec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	if encoding := p.GetMetadata()[converter.MetadataEncoding]; string(encoding) != encodingEncrypted {
		return nil, fmt.Errorf("decrypt payload: encoding is %q, not %q: it was not written by pgleap",
			encoding, encodingEncrypted)
	}
	if id := string(p.GetMetadata()[metadataKeyID]); id != c.key.id {
		return nil, fmt.Errorf("decrypt payload: it was encrypted with key %q, this process has %q: "+
			"the server and all agents need a copy of one key file", id, c.key.id)
	}
	plain, err := c.key.aead.Open(nil, nil, p.GetData(), []byte(c.key.id))
	if err != nil {
		return nil, fmt.Errorf("decrypt payload: it was changed after pgleap wrote it: %w", err)
	}
	q := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, q); err != nil {
		return nil, fmt.Errorf("decrypt payload: %w", err)
	}
	return q, nil
}
