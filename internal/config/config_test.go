package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgleap.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	defaults := Server{
		StateDir: "/state", Listen: "127.0.0.1:8432", LogLevel: "info", LogFormat: "text",
		Region: "local", RequestsPerSecond: 200,
		Aliyun: Aliyun{WireTypes: "sample", DetailNewline: "\n", SignatureV1: true},
	}
	with := func(change func(*Server)) Server {
		c := defaults
		change(&c)
		return c
	}
	for _, c := range []struct {
		name string
		file string // empty: none
		env  map[string]string
		want Server
	}{
		{"nothing said", "", nil, defaults},
		{"the file", "listen: 127.0.0.1:9000\npostgres_prefixes: [/opt/pg, /srv/pg]\nlog_format: json\n", nil, with(func(c *Server) {
			c.Listen, c.LogFormat = "127.0.0.1:9000", "json"
			c.PostgresPrefixes = []string{"/opt/pg", "/srv/pg"}
		})},
		{"the environment over the file", "listen: 127.0.0.1:9000\nlog_level: debug\n", map[string]string{
			"PGLEAP_LISTEN": "127.0.0.1:9001", "PGLEAP_CATALOG": "postgres://c", "PGLEAP_POSTGRES_PREFIXES": "/a:/b",
		}, with(func(c *Server) {
			c.Listen, c.Catalog, c.LogLevel = "127.0.0.1:9001", "postgres://c", "debug"
			c.PostgresPrefixes = []string{"/a", "/b"}
		})},
		{"the vendors' APIs", "region: cn-hangzhou\nallow_plain_http: true\nrequests_per_second: 5\naliyun: {wire_types: documented, detail_newline: '\\n', signature_v1: false, hosts: [a.example]}\nhuawei: {time_zone: Asia/Shanghai}\ntls: {certificate: c, key: k}\n", nil, with(func(c *Server) {
			c.Region, c.AllowPlainHTTP, c.RequestsPerSecond, c.TLS = "cn-hangzhou", true, 5, TLS{"c", "k"}
			c.Aliyun = Aliyun{WireTypes: "documented", DetailNewline: `\n`, Hosts: []string{"a.example"}}
			c.Huawei.TimeZone = "Asia/Shanghai"
		})},
		{"an empty variable is a value", "catalog: postgres://c\n", map[string]string{"PGLEAP_CATALOG": ""}, defaults},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			path := ""
			if c.file != "" {
				path = write(t, c.file)
			}
			got, err := Load(path, "/state")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ name, path, want string }{
		{"a key that it does not know", write(t, "listn: 127.0.0.1:1\n"), "field listn not found"},
		{"the state directory, which the command line must know too", write(t, "state_dir: /other\n"), "field state_dir not found"},
		{"a value of another kind", write(t, "listen: [1]\n"), "cannot unmarshal"},
		{"no YAML", write(t, "listen: '\n"), "yaml"},
		{"a file that is not there", "/nowhere/pgleap.yaml", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(c.path, "/state")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if !strings.HasPrefix(err.Error(), "read configuration") {
				t.Errorf("it does not tell what was being done: %v", err)
			}
		})
	}
}

// A file without a word in it says nothing, which is no error.
func TestLoadEmptyFile(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n"} {
		if _, err := Load(write(t, text), "/state"); err != nil {
			t.Errorf("file %q: %v", text, err)
		}
	}
}

func TestValidate(t *testing.T) {
	file := write(t, "")
	for _, c := range []struct {
		name   string
		change func(*Server)
		want   string // empty: it is valid
	}{
		{"as it comes", func(*Server) {}, ""},
		{"localhost", func(c *Server) { c.Listen = "localhost:0" }, ""},
		{"IPv6", func(c *Server) { c.Listen = "[::1]:8432" }, ""},
		{"any of 127/8", func(c *Server) { c.Listen = "127.1.2.3:8432" }, ""},
		{"every interface", func(c *Server) { c.Listen = ":8432" }, "not a loopback address"},
		{"every interface, spelt out", func(c *Server) { c.Listen = "0.0.0.0:8432" }, "not a loopback address"},
		{"the network", func(c *Server) { c.Listen = "192.0.2.1:8432" }, "not a loopback address"},
		{"a name", func(c *Server) { c.Listen = "db1:8432" }, "not a loopback address"},
		{"the network, with TLS", func(c *Server) { c.Listen, c.TLS = "192.0.2.1:8432", TLS{"cert.pem", "key.pem"} }, ""},
		{"the network, plain on purpose", func(c *Server) { c.Listen, c.AllowPlainHTTP = "192.0.2.1:8432", true }, ""},
		{"a certificate without its key", func(c *Server) { c.TLS.Certificate = "cert.pem" }, "give both"},
		{"a key without its certificate", func(c *Server) { c.TLS.Key = "key.pem" }, "give both"},
		{"a region", func(c *Server) { c.Region = "cn-hangzhou" }, ""},
		{"a region that would not fit into a resource name", func(c *Server) { c.Region = "a:b" }, `region "a:b"`},
		{"no limit of requests", func(c *Server) { c.RequestsPerSecond = 0 }, ""},
		{"a negative limit of requests", func(c *Server) { c.RequestsPerSecond = -1 }, "choose 0"},
		{"strings for numbers", func(c *Server) { c.Aliyun.WireTypes = "documented" }, ""},
		{"types of another kind", func(c *Server) { c.Aliyun.WireTypes = "loose" }, `choose "sample" or "documented"`},
		{"a newline of two characters", func(c *Server) { c.Aliyun.DetailNewline = `\n` }, ""},
		{"a time zone", func(c *Server) { c.Huawei.TimeZone = "Asia/Shanghai" }, ""},
		{"no time zone", func(c *Server) { c.Huawei.TimeZone = "Asia/Atlantis" }, "huawei.time_zone"},
		{"the time zone of the host", func(c *Server) { c.Huawei.TimeZone = "Local" }, "huawei.time_zone"},
		{"a newline of another kind", func(c *Server) { c.Aliyun.DetailNewline = "\r\n" }, "detail_newline"},
		{"no port", func(c *Server) { c.Listen = "127.0.0.1" }, "give HOST:PORT"},
		{"a state directory that is a file", func(c *Server) { c.StateDir = file }, "is a file"},
		{"a state directory below a file", func(c *Server) { c.StateDir = filepath.Join(file, "state") }, "state directory"},
		{"a level of the log", func(c *Server) { c.LogLevel = "loud" }, "choose debug, info, warn or error"},
		{"a format of the log", func(c *Server) { c.LogFormat = "xml" }, "choose text or json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := Load("", t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			c.change(&config)
			err = config.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestValidateMakesTheStateDirectoryAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	config, err := Load("", "state")
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(config.StateDir) {
		t.Errorf("it is %s", config.StateDir)
	}
	agent := config.Agent("h1", nil)
	if agent.StateDir != config.StateDir || agent.HostID != "h1" {
		t.Errorf("agent: %+v", agent)
	}
	if diff := cmp.Diff([]string{"guard", "--state-dir", config.StateDir}, agent.Guard.Args); diff != "" {
		t.Errorf("the guard's arguments (-want +got):\n%s", diff)
	}
}

func TestLogger(t *testing.T) {
	for _, c := range []struct {
		level, format string
		debug         bool
	}{{"debug", "text", true}, {"info", "json", false}, {"WARN", "text", false}} {
		config := Server{LogLevel: c.level, LogFormat: c.format}
		log, err := config.Logger()
		if err != nil {
			t.Fatal(err)
		}
		if got := log.Enabled(t.Context(), -4); got != c.debug {
			t.Errorf("level %s logs debug: %t", c.level, got)
		}
	}
}
