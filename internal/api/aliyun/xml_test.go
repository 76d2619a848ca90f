package aliyun

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestXMLOfJSON(t *testing.T) {
	for _, test := range []struct{ name, json, xml string }{
		{"nothing", `{}`, ``},
		{"text, numbers, truth values", `{"A":"x","N":-12.50,"B":true,"C":false}`, `<A>x</A><N>-12.50</N><B>true</B><C>false</C>`},
		{"no value", `{"A":null,"B":""}`, `<B></B>`},
		{"a list repeats its name", `{"Items":[{"T":1},{"T":2}]}`, `<Items><T>1</T></Items><Items><T>2</T></Items>`},
		{"a list of texts", `{"Id":["a",null,"b"]}`, `<Id>a</Id><Id>b</Id>`},
		{"a wrapped list", `{"Items":{"I":[{"A":1},{"A":2}]}}`, `<Items><I><A>1</A></I><I><A>2</A></I></Items>`},
		{"an empty list", `{"Items":[],"W":{"I":[]}}`, `<W></W>`},
		{"special characters", `{"A":"<&>\"' \u0001\n"}`, `<A>&lt;&amp;&gt;&#34;&#39; ` + "\uFFFD" + `&#xA;</A>`},
	} {
		got, err := appendXML(nil, []byte(test.json))
		if err != nil || string(got) != test.xml {
			t.Errorf("%s: %v\n got %s\nwant %s", test.name, err, got, test.xml)
		}
	}
	for _, bad := range []string{``, `[]`, `1`, `{`, `{"A":`, `{"":1}`, `{"a b":1}`, `{"1a":1}`, `{"A":` + strings.Repeat("[", 100)} {
		if got, err := appendXML(nil, []byte(bad)); err == nil {
			t.Errorf("%s became %s", bad, got)
		}
	}
}

func FuzzXML(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"A":"x","N":-1.5e3,"B":true,"C":null}`, `{"Items":[{"T":1},{"T":"<&>"}]}`, `{"Items":{"I":[[],[1,[2]],{}]}}`,
		`{"A":"\u0000\ud800"}`, `{"a b":1}`, `{"A":[[[[[[[[`, `{"A":1}{"B":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		rest, err := tail(object, formatXML, "R")
		if err != nil {
			if !errors.Is(err, errXML) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		d := xml.NewDecoder(strings.NewReader(string(appendHead(nil, formatXML, "R", "ID")) + string(rest)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%v in %s", err, rest)
			}
		}
	})
}
