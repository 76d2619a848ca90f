// Package config is what a server is told: by a file, by the environment, by flags, each
// overriding the one before.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgleap/pgleap/internal/agent"
	"github.com/pgleap/pgleap/internal/work/onhost"
)

// Server is the configuration of a server.
type Server struct {
	// StateDir holds all that the server keeps. The command line must find it too, so it is given by
	// --state-dir or PGLEAP_STATE_DIR alone.
	StateDir string `yaml:"-"`
	// Listen is the address of all APIs. Beyond loopback it wants TLS, or AllowPlainHTTP.
	Listen string `yaml:"listen"`
	// TLS names the files of the certificate; without them, plain HTTP is spoken.
	TLS TLS `yaml:"tls"`
	// AllowPlainHTTP permits plain HTTP beyond loopback: something in front of the server does TLS.
	AllowPlainHTTP bool `yaml:"allow_plain_http"`
	// Region is what the vendors' APIs call this place.
	Region string `yaml:"region"`
	// RequestsPerSecond is how many requests of the vendors' APIs an access key may send; 0: any number.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// Aliyun shapes the Alibaba Cloud facade.
	Aliyun Aliyun `yaml:"aliyun"`
	// Huawei shapes the Huawei Cloud facade.
	Huawei Huawei `yaml:"huawei"`
	// Catalog is the record's URL; empty: an SQLite file in StateDir.
	Catalog string `yaml:"catalog"`
	// PostgresPrefixes are directories with PostgreSQL installations, each as PREFIX/VERSION/bin.
	PostgresPrefixes []string `yaml:"postgres_prefixes"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `yaml:"log_level"`
	// LogFormat is text or json.
	LogFormat string `yaml:"log_format"`
	// GuardProgram is our own program, which a switchover starts to watch over it.
	GuardProgram string `yaml:"-"`
}

// TLS names a certificate (leaf first, then intermediates) and its key, both PEM. They are read
// again when they change.
type TLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Aliyun is what clients of the Alibaba Cloud facade may want otherwise.
type Aliyun struct {
	// WireTypes is "sample" (the published sample's numbers) or "documented" (strings).
	WireTypes string `yaml:"wire_types"`
	// DetailNewline separates the lines of Detail: "\n" as a line feed, or as a backslash and an n.
	DetailNewline string `yaml:"detail_newline"`
	// SignatureV1 accepts HMAC-SHA1 signatures, which the vendor's own command line makes.
	SignatureV1 bool `yaml:"signature_v1"`
	// EchoStringToSign puts what was signed into the error of a signature that does not match.
	EchoStringToSign bool `yaml:"echo_string_to_sign"`
	// Hosts are names by which clients know the server when a proxy in front changes Host.
	Hosts []string `yaml:"hosts"`
}

// Huawei is what clients of the Huawei Cloud facade may want otherwise.
type Huawei struct {
	// TimeZone is the zone of the times in answers, as in the IANA database; empty: UTC.
	TimeZone string `yaml:"time_zone"`
}

// Zone is the time zone that is meant. What Validate has accepted has one.
func (h Huawei) Zone() (*time.Location, error) {
	zone, err := time.LoadLocation(h.TimeZone)
	if err != nil || h.TimeZone == "Local" {
		return nil, fmt.Errorf("huawei.time_zone %q: choose a name of the time zone database, such as Asia/Shanghai", h.TimeZone)
	}
	return zone, nil
}

// Defaults of the vendors' APIs.
const (
	DefaultRegion            = "local"
	DefaultRequestsPerSecond = 200
	WireTypesSample          = "sample"
	WireTypesDocumented      = "documented"
)

// DefaultListen is the API's address unless told otherwise.
const DefaultListen = "127.0.0.1:8432"

// Load reads the file, if there is one, and overlays the environment. Unknown keys are an error:
// a misspelt one would otherwise be without effect.
func Load(path string, stateDir string) (Server, error) {
	c := Server{
		StateDir: stateDir, Listen: DefaultListen, LogLevel: "info", LogFormat: "text",
		Region: DefaultRegion, RequestsPerSecond: DefaultRequestsPerSecond,
		Aliyun: Aliyun{WireTypes: WireTypesSample, DetailNewline: "\n", SignatureV1: true},
	}
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return c, fmt.Errorf("read configuration: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		decoder := yaml.NewDecoder(f)
		decoder.KnownFields(true)
		if err := decoder.Decode(&c); err != nil && !errors.Is(err, io.EOF) { // an empty file
			return c, fmt.Errorf("read configuration %s: %w", path, err)
		}
	}
	for name, field := range map[string]*string{
		"PGLEAP_LISTEN": &c.Listen, "PGLEAP_CATALOG": &c.Catalog, "PGLEAP_LOG_LEVEL": &c.LogLevel, "PGLEAP_LOG_FORMAT": &c.LogFormat,
	} {
		if value, ok := os.LookupEnv(name); ok {
			*field = value
		}
	}
	if value, ok := os.LookupEnv("PGLEAP_POSTGRES_PREFIXES"); ok {
		c.PostgresPrefixes = filepath.SplitList(value)
	}
	return c, nil
}

// Validate checks what can be checked before anything starts.
func (c *Server) Validate() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen address %q: give HOST:PORT: %w", c.Listen, err)
	}
	if err := c.validateDoor(host); err != nil {
		return err
	}
	if c.StateDir, err = filepath.Abs(c.StateDir); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if info, err := os.Stat(c.StateDir); err == nil && !info.IsDir() {
		return fmt.Errorf("state directory %s is a file", c.StateDir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state directory: %w", err)
	}
	if _, err := c.level(); err != nil {
		return err
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("log format %q: choose text or json", c.LogFormat)
	}
	return nil
}

var region = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// validateDoor checks what the APIs are reached by.
func (c *Server) validateDoor(host string) error {
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		return errors.New("tls: give both certificate and key, or neither")
	}
	ip := net.ParseIP(host)
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	if !loopback && c.TLS.Certificate == "" && !c.AllowPlainHTTP {
		return fmt.Errorf("listen address %q is not a loopback address, and plain HTTP would carry tokens across the network; "+
			"give tls.certificate and tls.key, choose 127.0.0.1:PORT, or set allow_plain_http if something in front does TLS", c.Listen)
	}
	if !region.MatchString(c.Region) {
		return fmt.Errorf("region %q: choose up to 32 lower-case letters, digits and hyphens", c.Region)
	}
	if c.RequestsPerSecond < 0 {
		return fmt.Errorf("requests_per_second %g: choose 0 (any number) or more", c.RequestsPerSecond)
	}
	if c.Aliyun.WireTypes != WireTypesSample && c.Aliyun.WireTypes != WireTypesDocumented {
		return fmt.Errorf("aliyun.wire_types %q: choose %q or %q", c.Aliyun.WireTypes, WireTypesSample, WireTypesDocumented)
	}
	if c.Aliyun.DetailNewline != "\n" && c.Aliyun.DetailNewline != `\n` {
		return fmt.Errorf("aliyun.detail_newline %q: choose a line feed (\"\\n\") or backslash and n ('\\n')", c.Aliyun.DetailNewline)
	}
	_, err := c.Huawei.Zone()
	return err
}

// Agent is the configuration of the agent inside the server.
func (c *Server) Agent(hostID string, log *slog.Logger) agent.Config {
	return agent.Config{
		HostID: hostID, StateDir: c.StateDir, Prefixes: c.PostgresPrefixes, Log: log,
		Guard: onhost.GuardCommand{Path: c.GuardProgram, Args: []string{"guard", "--state-dir", c.StateDir}},
	}
}

func (c *Server) level() (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(c.LogLevel))); err != nil {
		return level, fmt.Errorf("log level %q: choose debug, info, warn or error", c.LogLevel)
	}
	return level, nil
}

// Logger makes the logger that the configuration asks for.
func (c *Server) Logger() (*slog.Logger, error) {
	level, err := c.level()
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
}
