package huawei

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

func TestBodyOfAnInspection(t *testing.T) {
	for body, want := range map[string]struct {
		target  upgrade.Major
		message message
		code    code
	}{
		`{"target_version":"17"}`:                {target: 17},
		`{"target_version":"14.9.0"}` + "\n":     {target: 14},
		`{"target_version":"17.2","other":[{}]}`: {target: 17},
		`{"target_version":"9.6"}`:               {target: 9},
		``:                                       {message: msgNoBody, code: codeNoBody},
		" \n":                                    {message: msgNoBody, code: codeNoBody},
		`null`:                                   {message: msgNoBody, code: codeNoBody},
		`{}`:                                     {message: msgRequired, code: codeParameter},
		`{"target_version":null}`:                {message: msgRequired, code: codeParameter},
		`{"target_version":""}`:                  {message: msgRequired, code: codeParameter},
		`{"target_version":17}`:                  {message: msgString, code: codeParameter},
		`{"target_version":["17"]}`:              {message: msgString, code: codeParameter},
		`{"target_version":"0"}`:                 {message: msgVersion, code: codeParameter},
		`{"target_version":"17.1.2.3"}`:          {message: msgVersion, code: codeParameter},
		`{"target_version":"+17"}`:               {message: msgVersion, code: codeParameter},
		`{"target_version":"latest"}`:            {message: msgVersion, code: codeParameter},
		`["17"]`:                                 {message: msgNotAnObject, code: codeParameter},
		`"17"`:                                   {message: msgNotAnObject, code: codeParameter},
		`{"target_version":"17"`:                 {message: msgMalformedJSON, code: codeMalformed},
		`{"target_version":"17"}{}`:              {message: msgMalformedJSON, code: codeMalformed},
		`{"target_version":"16","target_version":"17"}`:              {message: msgRepeatedParameter, code: codeMalformed},
		`{"target_version":"16","x":{"y":[]},"Target_Version":"17"}`: {message: msgRepeatedParameter, code: codeMalformed},
		`target_version=17`: {message: msgMalformedJSON, code: codeMalformed},
	} {
		target, bad := decodeInspection([]byte(body))
		if target != want.target || (bad == nil) != (want.message == "") || bad != nil && (bad.message != want.message || bad.code != want.code) {
			t.Errorf("%s: got %d, %v", body, target, bad)
		}
	}
}

func TestBodyOfAnUpgrade(t *testing.T) {
	const valid = `"target_version":"17","is_change_private_ip":true`
	for body, want := range map[string]struct {
		wanted  wanted
		message message
	}{
		`{` + valid + `,"statistics_collection_mode":"before_change_private_ip"}`: {wanted: wanted{17, true, upgrade.StatisticsBefore}},
		`{` + valid + `,"statistics_collection_mode":"after_change_private_ip"}`:  {wanted: wanted{17, true, upgrade.StatisticsAfter}},
		`{"target_version":"17","is_change_private_ip":false}`:                    {wanted: wanted{17, false, ""}},
		`{` + valid + `}`: {message: msgRequired},
		`{` + valid + `,"statistics_collection_mode":""}`:                                       {message: msgRequired},
		`{` + valid + `,"statistics_collection_mode":"Before"}`:                                 {message: msgChoice},
		`{` + valid + `,"statistics_collection_mode":true}`:                                     {message: msgString},
		`{"target_version":"17","is_change_private_ip":false,"statistics_collection_mode":"x"}`: {message: msgChoice},
		`{"target_version":"17"}`:                                                               {message: msgRequired},
		`{"is_change_private_ip":true}`:                                                         {message: msgRequired},
		`{"target_version":"17","is_change_private_ip":"true"}`:                                 {message: msgBoolean},
		`{"target_version":"17","is_change_private_ip":1}`:                                      {message: msgBoolean},
		``: {message: msgNoBody},
	} {
		got, bad := decodeUpgrade([]byte(body))
		if got != want.wanted || (bad == nil) != (want.message == "") || bad != nil && bad.message != want.message {
			t.Errorf("%s: got %+v, %v", body, got, bad)
		}
	}
}

func TestIdentities(t *testing.T) {
	for body, want := range map[string]credentials{
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"AK","password":"SK","domain":{"name":"d"}}}},"scope":{}}}`: {"AK", "SK"},
		`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":"AK"},"secret":{"key":"SK"}}}}}`:                           {"AK", "SK"},
		`{"auth":{"identity":{"methods":["password"],"hw_ak_sk":{"access":{"key":"AK"},"secret":{"key":"SK"}}}}}`:                           {},
		`{"auth":{"identity":{"methods":["password","totp"],"password":{"user":{"name":"AK","password":"SK"}}}}}`:                           {},
		`{"auth":{"identity":{"methods":"password"}}}`:                                                                                      {},
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"AK"}}}}}`:                                                  {},
		`{"auth":{"identity":{"methods":["token"],"token":{"id":"x"}}}}`:                                                                    {},
		`{"auth":{}}`:   {},
		`{"auth":null}`: {},
		`{"auth":[]}`:   {},
		`{}`:            {},
	} {
		_, got, bad := decodeTokenRequest([]byte(body))
		if got != want || (bad == nil) != (want != credentials{}) || bad != nil && bad.code != codeParameter {
			t.Errorf("%s: got %+v, %v", body, got, bad)
		}
	}
}

func TestQuery(t *testing.T) {
	for raw, want := range map[string]message{
		"":                "",
		"a=1&b=2&c":       "",
		"a=%E4%B8%AD":     "",
		"a=1&a=2":         msgRepeatedParameter,
		"a=1&%61=1":       msgRepeatedParameter,
		"a=1;b=2":         msgMalformedQuery,
		"a=%zz":           msgMalformedQuery,
		"a=1&a":           msgRepeatedParameter,
		"order=1&ORDER=1": "", // names are case-sensitive
	} {
		_, bad := parseQuery(raw)
		if (bad == nil) != (want == "") || bad != nil && (bad.message != want || bad.code != codeMalformed) {
			t.Errorf("%q: got %v", raw, bad)
		}
	}
}

func TestPages(t *testing.T) {
	type outcome struct {
		page page
		ok   bool
	}
	for raw, want := range map[string]outcome{
		"":                    {page{0, 10}, true},
		"offset=20&limit=100": {page{20, 100}, true},
		"offset=2147483647":   {page{2147483647, 10}, true},
		"limit=1":             {page{0, 1}, true},
		"limit=0":             {},
		"limit=101":           {},
		"limit=":              {},
		"limit=1.5":           {},
		"limit=+5":            {},
		"limit=5x":            {},
		"offset=-1":           {},
		"offset=2147483648":   {},
		"offset=%00":          {},
	} {
		query, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, bad := pageOf(query, defaultLimit)
		if bad != nil {
			got = page{}
		}
		if diff := cmp.Diff(want, outcome{got, bad == nil}, cmp.AllowUnexported(outcome{}, page{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", raw, diff)
		}
	}
}

func TestWhatIsShownBackIsHarmless(t *testing.T) {
	if got := printable("a\nb\x00" + "中"); got != "a?b?中" {
		t.Errorf("got %q", got)
	}
	long := make([]byte, 0, 300)
	for range 100 {
		long = append(long, "中"...)
	}
	if got := printable(string(long)); len(got) > maxShown || got[len(got)-3:] != "中" {
		t.Errorf("got %d bytes, %q", len(got), got)
	}
}
