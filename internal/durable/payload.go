package durable

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/pgleap/pgleap/internal/secret"
)

const (
	// encodingEncrypted marks our payloads; the name is the one that Temporal's samples and
	// codec servers use for encrypted payloads.
	encodingEncrypted = "binary/encrypted"
	metadataKeyID     = "encryption-key-id"
)

// LoadOrCreateKey reads the key at path that encrypts what pgleap puts into workflow histories:
// arguments, results, heart-beat details, error messages. Whoever holds the engine's file or reaches
// its port sees none of it. If there is no key, one is made (mode 0600). A host's agent needs a copy
// of the server's file.
func LoadOrCreateKey(path string) (*secret.Key, error) {
	key, err := secret.LoadOrCreate(path)
	if err != nil {
		return nil, fmt.Errorf("load payload key (running upgrades cannot be read without): %w", err)
	}
	return key, nil
}

// NewDataConverter returns the SDK's default conversion with each payload encrypted and
// authenticated as a whole, its metadata included.
func NewDataConverter(key *secret.Key) converter.DataConverter {
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
type payloadCodec struct{ key *secret.Key }

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
			metadataKeyID:              []byte(c.key.ID()),
		},
		Data: c.key.Seal(plain, []byte(c.key.ID())),
	}, nil
}

func (c payloadCodec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	if encoding := p.GetMetadata()[converter.MetadataEncoding]; string(encoding) != encodingEncrypted {
		return nil, fmt.Errorf("decrypt payload: encoding is %q, not %q: it was not written by pgleap",
			encoding, encodingEncrypted)
	}
	if id := string(p.GetMetadata()[metadataKeyID]); id != c.key.ID() {
		return nil, fmt.Errorf("decrypt payload: it was encrypted with key %q, this process has %q: "+
			"the server and all agents need a copy of one key file", id, c.key.ID())
	}
	plain, err := c.key.Open(p.GetData(), []byte(c.key.ID()))
	if err != nil {
		return nil, fmt.Errorf("decrypt payload: it was changed after pgleap wrote it: %w", err)
	}
	q := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, q); err != nil {
		return nil, fmt.Errorf("decrypt payload: %w", err)
	}
	return q, nil
}
