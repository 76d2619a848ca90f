package authz

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const read = `{"Effect":"Allow","Action":"rds:Describe*","Resource":"*"}`
	with := func(condition string) string {
		return `{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":` + condition + `}]}`
	}
	for _, test := range []struct {
		name, document string
		wantErr        string // "" when it is accepted
	}{
		{"one statement", `{"Version":"1","Statement":[` + read + `]}`, ""},
		{"no statement", `{"Statement":[],"Version":"1"}`, ""},
		{"white space", " {\n\t\"Version\" : \"1\" , \"Statement\" : [ " + read + " ] }\r\n", ""},
		{"lists", `{"Version":"1","Statement":[{"Effect":"Deny","NotAction":["rds:*","ecs:*"],"Resource":["*","acs:rds:::dbinstance/a"]}]}`, ""},
		{"empty condition", with(`{}`), ""},
		{"operators of tomorrow", with(`{"IpAddressSoon":{"acs:SourceIp":"x"}}`), ""},
		{"values that cannot be read", with(`{"IpAddress":{"acs:SourceIp":"x"}}`), ""},
		{"numbers and booleans", with(`{"NumericLessThan":{"acs:X":[1,2.5e3]},"Bool":{"acs:SecureTransport":true}}`), ""},
		{"64 statements", `{"Version":"1","Statement":[` + strings.Repeat(read+",", 63) + read + `]}`, ""},

		{"nothing", ``, "not JSON"},
		{"cut off", `{"Version":"1"`, "not JSON at byte 14"},
		{"something behind it", `{"Version":"1","Statement":[]} {}`, "not JSON at byte 32"},
		{"not UTF-8", "{\"Version\":\"1\xff\",\"Statement\":[]}", "not UTF-8"},
		{"too long", `{"Version":"1","Statement":[` + read + `]}` + strings.Repeat(" ", MaxDocument), "longer than 16384 bytes"},
		{"too long in canonical form", with(`{"NumericEquals":{"acs:X":[1` + strings.Repeat(",1", 8000) + `]}}`), "16384 bytes in canonical form"},
		{"65 statements", `{"Version":"1","Statement":[` + strings.Repeat(read+",", 64) + read + `]}`, "there are 65 statements, more than 64"},
		{"an array", `[]`, "write an object"},
		{"null", `null`, "write an object"},
		{"no version", `{"Statement":[]}`, `version: write "1"`},
		{"another version", `{"Version":"2","Statement":[]}`, `version: write "1"`},
		{"version of another vendor", `{"Version":"2012-10-17","Statement":[]}`, `version: write "1"`},
		{"version as a number", `{"Version":1,"Statement":[]}`, `version: write "1"`},
		{"no statements", `{"Version":"1"}`, "statement: write a list"},
		{"statement without list", `{"Version":"1","Statement":` + read + `}`, "statement: write a list"},
		{"unknown member", `{"Version":"1","Statement":[],"Id":"x"}`, `"Id" has no place`},
		{"member in lower case", `{"version":"1","Statement":[]}`, `"version" has no place`},
		{"member twice", `{"Version":"1","Statement":[],"Statement":[` + read + `]}`, `"Statement" is there twice`},
		{"null twice", `{"Version":null,"Version":"1","Statement":[]}`, `"Version" is there twice`},
		{"the second is wrong", `{"Version":"1","Statement":[` + read + `,7]}`, "statement 2: write an object"},
		{"null statement", `{"Version":"1","Statement":[null]}`, "statement 1: write an object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.document))
			checkError(t, err, test.wantErr)
		})
	}
}

func TestParseStatement(t *testing.T) {
	for _, test := range []struct {
		name, statement, wantErr string
	}{
		{"Principal", `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`, `"Principal" has no place in the policy of an access key`},
		{"NotResource", `{"Effect":"Allow","Action":"*","NotResource":"*"}`, `"NotResource" has no place`},
		{"Sid", `{"Sid":"x","Effect":"Allow","Action":"*","Resource":"*"}`, `"Sid" has no place`},
		{"effect in lower case", `{"Effect":"allow","Action":"*","Resource":"*"}`, `effect: write "Allow" or "Deny"`},
		{"no effect", `{"Action":"*","Resource":"*"}`, `effect: write "Allow" or "Deny"`},
		{"effect twice", `{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}`, `"Effect" is there twice`},
		{"no action", `{"Effect":"Allow","Resource":"*"}`, "either Action or NotAction"},
		{"both actions", `{"Effect":"Allow","Action":"*","NotAction":"rds:*","Resource":"*"}`, "either Action or NotAction"},
		{"empty list of actions", `{"Effect":"Allow","Action":[],"Resource":"*"}`, "action: the list is empty"},
		{"empty list of exceptions", `{"Effect":"Allow","NotAction":[],"Resource":"*"}`, "action: the list is empty"},
		{"empty action", `{"Effect":"Allow","Action":"","Resource":"*"}`, `action "": write "*", or service:action`},
		{"action without service", `{"Effect":"Allow","Action":["rds:*","Describe*"],"Resource":"*"}`, `action "Describe*": write`},
		{"action of another kind", `{"Effect":"Allow","Action":true,"Resource":"*"}`, "action: write text in quotes"},
		{"null action", `{"Effect":"Allow","Action":null,"Resource":"*"}`, "action: write text in quotes"},
		{"actions in a list in a list", `{"Effect":"Allow","Action":[["*"]],"Resource":"*"}`, "action: write text in quotes"},
		{"no resource", `{"Effect":"Allow","Action":"*"}`, "resource: it is missing"},
		{"empty list of resources", `{"Effect":"Allow","Action":"*","Resource":[]}`, "resource: the list is empty"},
		{"empty resource", `{"Effect":"Allow","Action":"*","Resource":""}`, `resource "": write "*", or acs:`},
		{"instance only", `{"Effect":"Deny","Action":"*","Resource":"shop"}`, `resource "shop": write`},
		{"too few parts", `{"Effect":"Deny","Action":"*","Resource":"acs:rds:dbinstance/shop"}`, `resource "acs:rds:dbinstance/shop": write`},
		{"name of another vendor", `{"Effect":"Deny","Action":"*","Resource":"arn:aws:rds:x:y"}`, `resource "arn:aws:rds:x:y": write`},
		{"service in upper case", `{"Effect":"Deny","Action":"*","Resource":"acs:RDS:*:*:*"}`, "with the service in lower case"},
		{"no service", `{"Effect":"Deny","Action":"*","Resource":"acs::*:*:*"}`, `resource "acs::*:*:*": write`},
		{"no object", `{"Effect":"Deny","Action":"*","Resource":"acs:rds:*:*:"}`, `resource "acs:rds:*:*:": write`},
		{"condition of another kind", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":[]}`, "condition: write an object"},
		{"operator of another kind", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":"x"}}`, "condition: Bool: write an object"},
		{"operator without key", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{}}}`, "condition: Bool: it names no key"},
		{"operator twice", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"acs:A":true},"Bool":{"acs:B":true}}}`, `condition: "Bool" is there twice`},
		{"key twice", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"acs:A":true,"acs:A":false}}}`, `condition: Bool: "acs:A" is there twice`},
		{"key without service", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"SourceIp":true}}}`, `"SourceIp" is not a key`},
		{"key without values", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"acs:A":[]}}}`, "condition: Bool: acs:A: the list is empty"},
		{"null value", `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"acs:A":[true,null]}}}`, "condition: Bool: acs:A: write a text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			const right = `{"Effect":"Allow","Action":"*","Resource":"*"}`
			_, err := Parse([]byte(`{"Version":"1","Statement":[` + right + "," + test.statement + `]}`))
			checkError(t, err, test.wantErr)
			if err != nil && !strings.HasPrefix(err.Error(), "statement 2: ") {
				t.Errorf("%q does not say that it is statement 2", err)
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("accepted, want an error with %q", want)
	case err != nil && want == "":
		t.Errorf("%v, want it accepted", err)
	case err != nil && !strings.Contains(err.Error(), want):
		t.Errorf("%q, want %q in it", err, want)
	}
}

func TestDocument(t *testing.T) {
	for _, test := range []struct{ name, document, want string }{
		{
			"canonical order, a list of one is that one, patterns as they were",
			`{ "Statement": [ {"Resource":["*"],"Action":["RDS:*"],"Effect":"Allow"} ], "Version":"1" }`,
			`{"Version":"1","Statement":[{"Effect":"Allow","Action":"RDS:*","Resource":"*"}]}`,
		},
		{
			"the order of lists is kept, conditions are sorted and values are text",
			`{"Version":"1","Statement":[{"Effect":"Deny","NotAction":["b:2","a:1"],"Resource":["acs:rds:::x","*"],
			"Condition":{"StringLike":{"acs:B":["<&>"],"acs:A":"é"},"Bool":{"acs:MFAPresent":[false]},"NumericEquals":{"acs:N":1e2}}}]}`,
			`{"Version":"1","Statement":[{"Effect":"Deny","NotAction":["b:2","a:1"],"Resource":["acs:rds:::x","*"],` +
				`"Condition":{"Bool":{"acs:MFAPresent":"false"},"NumericEquals":{"acs:N":"1e2"},"StringLike":{"acs:A":"é","acs:B":"<&>"}}}]}`,
		},
		{"an empty condition is none", `{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{}}]}`, `{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`},
		{"no statements", `{"Version":"1","Statement":[ ]}`, `{"Version":"1","Statement":[]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := Parse([]byte(test.document))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(p.Document()); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	if got, want := string(Policy{}.Document()), `{"Version":"1","Statement":[]}`; got != want {
		t.Errorf("the zero policy is %s, want %s", got, want)
	}
}

// Who changes what Document returned does not change the policy.
func TestDocumentIsACopy(t *testing.T) {
	p := FullAccess()
	want := string(p.Document())
	clear(p.Document())
	if got := string(p.Document()); got != want {
		t.Errorf("the document has become %q", got)
	}
}
