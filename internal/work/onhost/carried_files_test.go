package onhost

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What settings name within the source's data directory is named, and found, within the target's.
func TestSettleFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "15")
	if err := os.MkdirAll(source, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(source, filepath.Join(dir, "alias")); err != nil {
		t.Fatal(err)
	}
	plan := upgrade.Plan{Source: upgrade.Cluster{Pgdata: source}, Target: upgrade.Cluster{Pgdata: filepath.Join(dir, "17")}}
	for name, test := range map[string]struct{ setting, value, want string }{
		"a plain name":                         {"ssl_cert_file", "server.crt", "server.crt"},
		"a whole path":                         {"ssl_cert_file", source + "/server.crt", "server.crt"},
		"a whole path further down":            {"ssl_key_file", source + "/certs/server.key", "certs/server.key"},
		"a whole path by way of a link":        {"ssl_ca_file", dir + "/alias/root.crt", "root.crt"},
		"a path of the system's":               {"ssl_crl_file", "/etc/ssl/crl.pem", "/etc/ssl/crl.pem"},
		"a directory beside, of a like name":   {"ssl_crl_dir", source + "-crls", source + "-crls"},
		"a path that leads out":                {"ssl_dh_params_file", "../dh.pem", dir + "/dh.pem"},
		"none":                                 {"ssl_crl_dir", "", ""},
		"a keytab":                             {"krb_server_keyfile", source + "/krb5.keytab", "krb5.keytab"},
		"a keytab of a kind":                   {"krb_server_keyfile", "FILE:" + source + "/krb5.keytab", "FILE:krb5.keytab"},
		"a setting that is not of such a file": {"log_directory", source + "/log", source + "/log"},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := pgconf.ParseConf([]byte(test.setting + " = " + pgconf.Quote(test.value)))
			if err != nil {
				t.Fatal(err)
			}
			if err := settleFiles(conf, plan); err != nil {
				t.Fatal(err)
			}
			if got, _ := conf.Get(test.setting); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestCarryFiles(t *testing.T) {
	dir := t.TempDir()
	plan := upgrade.Plan{
		Source: upgrade.Cluster{Pgdata: filepath.Join(dir, "15")}, Target: upgrade.Cluster{Pgdata: filepath.Join(dir, "17")},
	}
	outside := filepath.Join(dir, "renewed.pem")
	for path, text := range map[string]string{
		outside: "renewed", "15/server.key": "key", "15/certs/root.crt": "root", "15/crl/list.pem": "crl", "15/crl/deeper/x": "x", "17/PG_VERSION": "17",
	} {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, leadsTo := range map[string]string{"15/server.crt": outside, "15/crl/0a1b2c3d.r0": "list.pem"} {
		if err := os.Symlink(leadsTo, filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	conf, err := pgconf.ParseConf([]byte("ssl_ca_file = 'certs/root.crt'\nssl_crl_dir = 'crl'\nssl_crl_file = 'missing.pem'\nssl_dh_params_file = '/etc/dh.pem'\n"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // an attempt may have been cut short
		if err := carryFiles(plan, conf, self(t)); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	err = filepath.WalkDir(plan.Target.Pgdata, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		relative, _ := filepath.Rel(plan.Target.Pgdata, path)
		got[relative] = info.Mode().String() + " " + read(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"PG_VERSION": "-rw-r--r-- 17", "server.key": "-rw------- key", "certs/root.crt": "-rw------- root",
		"crl/list.pem": "-rw------- crl", "crl/0a1b2c3d.r0": "-rw------- crl",
		"server.crt": "Lrwxrwxrwx renewed", // what a link leads to goes on being renewed
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the target's files (-want +got):\n%s", diff)
	}
}

func TestMentions(t *testing.T) {
	const dir = "/data/15"
	for text, want := range map[string]bool{
		"":                                    false,
		"log":                                 false,
		"/data/15":                            true,
		"/data/15/log":                        true,
		"/data/15-17/log":                     false,
		"/data/150":                           false,
		"/backup/data/15/log":                 false,
		"/data/15.old":                        false,
		"$libdir:/data/15/lib":                true,
		"auto_explain, /data/15/lib/audit":    true,
		`cp %p "/data/15/archive/%f"`:         true,
		"pgbackrest --pg1-path=/data/15 push": true,
		"/data/15é":                           false,
		"/data/150 and then /data/15":         true,
	} {
		if got := mentions(text, dir); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
}

func TestAccessNaming(t *testing.T) {
	hba := "local all all peer\nhost @/data/15/dbs all,@admins 10.0.0.0/8 md5\nhost \"@/data/15/a\" all ::1/128 md5\ninclude /data/15/more.conf\ninclude_dir more.d\n"
	changes, err := accessNaming("/data/15", accessText{"pg_hba.conf", []byte(hba)}, accessText{"pg_ident.conf", []byte("include_if_exists /data/15/maps\n")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, change := range changes {
		got = append(got, filepath.Base(change.File)+" "+change.Name)
	}
	want := []string{"pg_hba.conf include", "pg_hba.conf @/data/15/dbs", "pg_ident.conf include_if_exists"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestStrandedFiles: a log directory that goes with the source's data directory is told, and gone after the remedy.
func TestStrandedFiles(t *testing.T) {
	pgtest.Slow(t)
	w, source, args := precheckBed(t)
	args.Plan.Options.SkipSchemaRehearsal = true // it has a test of its own
	source.Exec(t, "postgres", `ALTER SYSTEM SET log_directory = '`+source.Pgdata+`/log'`)
	source.Exec(t, "postgres", `ALTER SYSTEM SET ssl_crl_file = '`+source.Pgdata+`/crl'`)
	stranded := func() []string {
		t.Helper()
		report, err := w.Precheck(t.Context(), args)
		if err != nil {
			t.Fatal(err)
		}
		return find(report, "stranded-files").Objects
	}
	if got := stranded(); len(got) != 1 || !strings.HasPrefix(got[0], "log_directory ("+source.Pgdata+"/postgresql.auto.conf:") {
		t.Errorf("got %q", got)
	}
	source.Exec(t, "postgres", `ALTER SYSTEM SET log_directory = 'log'`)
	if got := stranded(); len(got) > 0 {
		t.Errorf("after the remedy: %q", got)
	}
}

// withCertificate has the source use a certificate in a directory within its own, named by whole paths.
func (b *upgradeBed) withCertificate(user run.User) {
	b.Helper()
	certs := filepath.Join(b.source.Pgdata, "certs")
	b.must(makeDir(certs, user))
	cert, key := selfSigned(b.T)
	b.must(writeOwned(filepath.Join(certs, "server.crt"), cert, user, 0o600))
	b.must(writeOwned(filepath.Join(certs, "server.key"), key, user, 0o600))
	b.append(user, "postgresql.conf", fmt.Sprintf("ssl = on\nssl_cert_file = '%s/server.crt'\nssl_key_file = '%[1]s/server.key'\nlog_directory = '%[1]s'\n", certs))
}

// selfSigned is a certificate for localhost, and its key.
func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}
