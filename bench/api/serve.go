package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/pgleap/pgleap/internal/api/aliyun"
	"github.com/pgleap/pgleap/internal/api/huawei"
	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/secret"
)

// The names of the servers, which are arguments of this program.
const (
	realServer = "serve-real"
	bareServer = "serve-bare"
)

// isServer tells whether this process is a child.
func isServer(name string) bool { return name == realServer || name == bareServer }

func runServer(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	orderly, replies := json.NewDecoder(in), json.NewEncoder(out)
	var start orders
	if err := orderly.Decode(&start); err != nil {
		return err
	}
	if name == bareServer {
		bare := &bareHandler{key: start.Key, secret: start.Secret}
		return listen(bare, peer{Key: start.Key, Secret: start.Secret}, orderly, replies, bare.obey)
	}
	return serveReal(ctx, start.Catalog, orderly, replies)
}

// serveReal serves both vendors' APIs from a catalogue, as the server does, without what it has besides.
func serveReal(ctx context.Context, address string, in *json.Decoder, out *json.Encoder) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	record, err := catalog.Open(ctx, address, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	raw := make([]byte, 32)
	rand.Read(raw) //nolint:errcheck // it never fails
	sealer, err := secret.NewKey(raw)
	if err != nil {
		return err
	}
	c := control.New(control.Deps{Catalog: record, Sealer: sealer, Host: "db1", Log: log})
	defer c.Close()
	key, keySecret, err := c.CreateAccessKey(ctx, control.Actor{Name: "bench/api"}, control.NewAccessKey{Description: "bench"})
	if err != nil {
		return err
	}
	huaweiCloud := huawei.New(c, huawei.Options{Region: "local"}, log)
	aliyunCloud := aliyun.New(c, aliyun.Options{Region: "local", SignatureV1: true}, log)
	both := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v3/") {
			huaweiCloud.ServeHTTP(w, r)
			return
		}
		aliyunCloud.ServeHTTP(w, r)
	})
	return listen(both, peer{Key: key.ID, Secret: keySecret}, in, out, func(orders) error { return errors.New("unknown order") })
}

// listen serves until there are no more orders.
func listen(h http.Handler, p peer, in *json.Decoder, out *json.Encoder, do func(orders) error) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	p.Address = listener.Addr().String()
	if err := out.Encode(p); err != nil {
		return err
	}
	err = obey(in, out, func(o orders) error {
		switch {
		case o.Profile != "":
			return startProfile(o.Profile)
		case o.Stop:
			pprof.StopCPUProfile()
			return nil
		}
		return do(o)
	})
	server.Close() //nolint:errcheck // nobody is served any more
	if closed := <-served; !errors.Is(closed, http.ErrServerClosed) {
		err = errors.Join(err, closed)
	}
	return err
}

// startProfile leaves the file open: the profile is written when it stops, and then the process has
// little left to do.
func startProfile(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(fmt.Errorf("start profile: %w", err), file.Close())
	}
	return nil
}
