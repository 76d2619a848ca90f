package durable

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/pgleap/pgleap/internal/secret"
)

const phrase = "correct horse battery staple"

func newTestKey(t *testing.T, fill byte) *secret.Key {
	t.Helper()
	key, err := secret.NewKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestDataConverterEncryptsAndReadsBack(t *testing.T) {
	dc := NewDataConverter(newTestKey(t, 1))
	type plan struct{ Password string }
	for name, value := range map[string]any{
		"struct": plan{phrase}, "string": phrase, "bytes": []byte(phrase), "nil": nil,
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := dc.ToPayload(value)
			if err != nil {
				t.Fatal(err)
			}
			wire, err := proto.Marshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, clear := range []string{phrase, "json/plain", "Password"} {
				if bytes.Contains(wire, []byte(clear)) {
					t.Errorf("%q stands in the encrypted payload", clear)
				}
			}
			var got any
			switch value.(type) {
			case plan:
				var p plan
				err = dc.FromPayload(payload, &p)
				got = p
			case []byte:
				var b []byte
				if err := dc.FromPayload(payload, &b); err != nil || !bytes.Equal(b, []byte(phrase)) {
					t.Errorf("read back %q", b)
				}
				return
			default:
				err = dc.FromPayload(payload, &got)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != value {
				t.Errorf("read back %v, want %v", got, value)
			}
		})
	}
}

func TestOnePayloadEncryptedTwiceDiffers(t *testing.T) {
	dc := NewDataConverter(newTestKey(t, 1))
	a, errA := dc.ToPayload(phrase)
	b, errB := dc.ToPayload(phrase)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.GetData(), b.GetData()) {
		t.Error("equal payloads can be told from each other's ciphertext")
	}
}

func TestDecodeRefusesWhatWasTamperedWith(t *testing.T) {
	ours, other := newTestKey(t, 1), newTestKey(t, 2)
	clear, err := converter.GetDefaultDataConverter().ToPayload(phrase)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(p *commonpb.Payload) *commonpb.Payload
		want   string
	}{
		"first bit of the nonce": {flip(0), "was changed"},
		"a bit of the text":      {flip(20), "was changed"},
		"last bit of the tag":    {flip(-1), "was changed"},
		"truncated": {func(p *commonpb.Payload) *commonpb.Payload {
			p.Data = p.Data[:len(p.Data)-1]
			return p
		}, "was changed"},
		"no data": {func(p *commonpb.Payload) *commonpb.Payload {
			p.Data = nil
			return p
		}, "was changed"},
		"in clear": {func(*commonpb.Payload) *commonpb.Payload { return clear }, "not written by pgleap"},
		"empty":    {func(*commonpb.Payload) *commonpb.Payload { return &commonpb.Payload{} }, "not written by pgleap"},
		"key id of another key": {func(p *commonpb.Payload) *commonpb.Payload {
			p.Metadata[metadataKeyID] = []byte(other.ID())
			return p
		}, "copy of one key file"},
		"encrypted with another key under our id": {func(*commonpb.Payload) *commonpb.Payload {
			p, err := payloadCodec{other}.seal(clear)
			if err != nil {
				t.Fatal(err)
			}
			p.Metadata[metadataKeyID] = []byte(ours.ID())
			return p
		}, "was changed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			payload, err := payloadCodec{ours}.seal(clear)
			if err != nil {
				t.Fatal(err)
			}
			_, err = payloadCodec{ours}.Decode([]*commonpb.Payload{test.change(payload)})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func flip(i int) func(*commonpb.Payload) *commonpb.Payload {
	return func(p *commonpb.Payload) *commonpb.Payload {
		p.Data[(i+len(p.Data))%len(p.Data)] ^= 1
		return p
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	key, err := secret.NewKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(phrase))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &commonpb.Payload{Data: data, Metadata: map[string][]byte{
			converter.MetadataEncoding: []byte(encodingEncrypted), metadataKeyID: []byte(key.ID()),
		}}
		if _, err := (payloadCodec{key}).open(p); err == nil {
			t.Errorf("accepted %x, which was not encrypted with the key", data)
		}
	})
}

func TestFailuresAreEncrypted(t *testing.T) {
	fc := NewFailureConverter(NewDataConverter(newTestKey(t, 1)))
	failure := fc.ErrorToFailure(temporal.NewApplicationError("cannot reach "+phrase, "unreachable", phrase))
	wire, err := proto.Marshal(failure)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wire, []byte(phrase)) {
		t.Error("the message stands in the failure in clear")
	}
	var app *temporal.ApplicationError
	if err := fc.FailureToError(failure); !errors.As(err, &app) || !strings.Contains(app.Message(), phrase) {
		t.Errorf("read back %v", err)
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %04o, want %04o", path, got, want)
	}
}
