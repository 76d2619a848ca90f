package pgconf

import (
	"testing"
)

func TestParseConninfo(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "  ", ""},
		{"words", "host=db1 port=5432 user=repl", "host=db1 port=5432 user=repl"},
		{"spaces around =", "host = db1\tport= 5432", "host=db1 port=5432"},
		{"a quoted value", `user='o''`, ""},
		{"quotes within", `user='o\'neil' password='a b\\c'`, `user='o\'neil' password='a b\\c'`},
		{"an escape without quotes", `password=a\ b`, `password='a b'`},
		{"an escape at the end", `password=ab\`, `password=ab`},
		{"an empty value", "password='' user=x", "password='' user=x"},
		{"blanks behind = do not end the value", "password= user=x", "password=user=x"},
		{
			"as pg_basebackup writes it", `user=repl passfile='/var/lib/pg/.pgpass' channel_binding=prefer host=127.0.0.1 port=5432 sslmode=prefer`,
			`user=repl passfile=/var/lib/pg/.pgpass channel_binding=prefer host=127.0.0.1 port=5432 sslmode=prefer`,
		},
		{"the last of two counts", "port=1 port=2", "port=2"},
		{
			"a URI", "postgresql://repl:s%20ecret@db1:5433/postgres?application_name=s1&sslmode=require",
			"application_name=s1 dbname=postgres host=db1 password='s ecret' port=5433 sslmode=require user=repl",
		},
		{"a URI of a socket", "postgres:///?host=/run/postgresql&port=5433", "host=/run/postgresql port=5433"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseConninfo(c.text)
			if c.name == "a quoted value" {
				if err == nil {
					t.Errorf("a value without an end was taken: %s", got.String())
				}
				return
			}
			if err != nil || got.String() != c.want {
				t.Errorf("got %q, %v, want %q", got.String(), err, c.want)
			}
		})
	}
}

func TestConninfoRefused(t *testing.T) {
	for _, text := range []string{"host", "=x", "host db1", "user='x", "postgres://a:1,b:2/db", "postgres://%zz"} {
		if got, err := ParseConninfo(text); err == nil {
			t.Errorf("%q: got %q", text, got.String())
		}
	}
}

func TestConninfoService(t *testing.T) {
	c, err := ParseConninfo(`host=db1 password='a b'`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Service("x"); err != nil || string(got) != "[x]\nhost=db1\npassword=a b\n" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"service=x", "password='a\nb'", "password=' a'"} {
		c, err := ParseConninfo(bad)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Service("x"); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

// FuzzParseConninfo: what is written is read as the same.
func FuzzParseConninfo(f *testing.F) {
	for _, text := range []string{"", "host=a port=1", `user='o\'n' password=a\ b`, "a = 'b' c=", "postgres://u:p@h:1/d?x=y", "x='", `x=\`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConninfo(text)
		if err != nil {
			return
		}
		again, err := ParseConninfo(c.String())
		if err == nil && again.String() == c.String() {
			return
		}
		t.Errorf("%q: %q is read as %q, %v", text, c.String(), again.String(), err)
	})
}
