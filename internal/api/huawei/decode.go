package huawei

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// parseQuery reads a query string. A parameter that comes twice is refused: what one reader takes
// for signed, another might not.
func parseQuery(raw string) (url.Values, *failure) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse(codeMalformed, msgMalformedQuery)
	}
	for name, values := range query {
		if len(values) > 1 {
			return nil, refuse(codeMalformed, msgRepeatedParameter, "name", printable(name))
		}
	}
	return query, nil
}

// maxShown bounds what an answer repeats of a request.
const maxShown = 128

// printable is a text of the caller's as it may be shown back: short, and without control characters.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "")
	}
	return text
}

// isProjectName tells whether a project, or its id, may be called so.
func isProjectName(text string) bool { return consists(text, 64, "_-") }

// consists tells whether a text has 1 to most characters, all of which are letters and digits of ASCII
// or among others. It is asked several times of every request, for which a regular expression is slow.
func consists(text string, most int, others string) bool {
	for i := range len(text) {
		c := text[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return text != "" && len(text) <= most
}

// page is the part of a list that a caller wants.
type page struct{ offset, limit int }

const (
	maxOffset    = 1<<31 - 1
	maxLimit     = 100
	defaultLimit = 10
)

func pageOf(query url.Values, absentLimit int) (page, *failure) {
	offset, bad := integer(query, "offset", 0, maxOffset, 0)
	if bad != nil {
		return page{}, bad
	}
	limit, bad := integer(query, "limit", 1, maxLimit, absentLimit)
	return page{offset, limit}, bad
}

// of returns the part of a list that is on the page.
func (p page) of(n int) (from, to int) {
	from = min(p.offset, n)
	return from, min(from+p.limit, n)
}

// integer reads a whole number.
func integer(query url.Values, name string, least, greatest, absent int) (int, *failure) {
	if !query.Has(name) {
		return absent, nil
	}
	text := query.Get(name)
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > greatest || text[0] == '+' {
		return 0, refuse(codeParameter, msgInteger, "name", name, "least", strconv.Itoa(least), "greatest", strconv.Itoa(greatest))
	}
	return n, nil
}

// choice reads one of some words.
func choice(query url.Values, name, absent string, choices ...string) (string, *failure) {
	if !query.Has(name) {
		return absent, nil
	}
	if value := query.Get(name); slices.Contains(choices, value) {
		return value, nil
	}
	return "", refuse(codeParameter, msgChoice, "name", name, "choices", strings.Join(choices, ", "))
}

// ascending reads "order", which clients write in both cases.
func ascending(query url.Values) (bool, *failure) {
	if !query.Has("order") {
		return false, nil
	}
	switch strings.ToUpper(query.Get("order")) {
	case "ASC":
		return true, nil
	case "DESC":
		return false, nil
	}
	return false, refuse(codeParameter, msgChoice, "name", "order", "choices", "DESC, ASC")
}

// boolean reads a truth value; an absent one is false.
func boolean(query url.Values, name string) (bool, *failure) {
	if !query.Has(name) {
		return false, nil
	}
	switch strings.ToLower(query.Get(name)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, refuse(codeParameter, msgBoolean, "name", name)
}

// optionalVersion reads a filter by version; 0 is none.
func optionalVersion(query url.Values, name string) (upgrade.Major, *failure) {
	if !query.Has(name) {
		return 0, nil
	}
	major, ok := majorOf(query.Get(name))
	if !ok {
		return 0, refuse(codeParameter, msgVersion, "name", name)
	}
	return major, nil
}

// decodeBody reads a JSON object into a struct of pointers. Members that are unknown are ignored,
// as newer clients may send some.
func decodeBody(body []byte, into any) *failure {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || string(body) == "null" {
		return refuse(codeNoBody, msgNoBody)
	}
	err := json.Unmarshal(body, into)
	if err == nil {
		return refuseRepeated(body)
	}
	mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return refuse(codeMalformed, msgMalformedJSON)
	case mismatch.Field == "":
		return refuse(codeParameter, msgNotAnObject)
	case mismatch.Type.Kind() == reflect.Bool:
		return refuse(codeParameter, msgBoolean, "name", mismatch.Field)
	case mismatch.Type.Kind() == reflect.String:
		return refuse(codeParameter, msgString, "name", mismatch.Field)
	}
	return refuse(codeParameter, msgIdentity)
}

// refuseRepeated refuses a member that an object has twice, in whichever case: what one reader takes from the first,
// another takes from the last.
func refuseRepeated(body []byte) *failure {
	members := json.NewDecoder(bytes.NewReader(body))
	if _, err := members.Token(); err != nil {
		return refuse(codeMalformed, msgMalformedJSON)
	}
	seen := map[string]bool{}
	for members.More() {
		var name string
		var value json.RawMessage
		token, err := members.Token()
		if err == nil {
			name, _ = token.(string)
			err = members.Decode(&value)
		}
		if err != nil {
			return refuse(codeMalformed, msgMalformedJSON)
		}
		folded := strings.ToLower(strings.ToUpper(name)) // as encoding/json takes names for the same
		if seen[folded] {
			return refuse(codeMalformed, msgRepeatedParameter, "name", printable(name))
		}
		seen[folded] = true
	}
	return nil
}

// inspectionRequest is the body of an inspection.
type inspectionRequest struct {
	TargetVersion *string `json:"target_version"`
}

func decodeInspection(body []byte) (upgrade.Major, *failure) {
	var r inspectionRequest
	if bad := decodeBody(body, &r); bad != nil {
		return 0, bad
	}
	return requiredVersion(r.TargetVersion)
}

func requiredVersion(text *string) (upgrade.Major, *failure) {
	if text == nil || *text == "" {
		return 0, refuse(codeParameter, msgRequired, "name", "target_version")
	}
	major, ok := majorOf(*text)
	if !ok {
		return 0, refuse(codeParameter, msgVersion, "name", "target_version")
	}
	return major, nil
}

// upgradeRequest is the body of an upgrade.
type upgradeRequest struct {
	TargetVersion    *string `json:"target_version"`
	ChangePrivateIP  *bool   `json:"is_change_private_ip"`
	StatisticsChoice *string `json:"statistics_collection_mode"`
}

// wanted is what an upgrade request comes to.
type wanted struct {
	target          upgrade.Major
	changePrivateIP bool               // the upgraded cluster takes over the clients
	statistics      upgrade.Statistics // empty when clients stay where they are
}

func decodeUpgrade(body []byte) (wanted, *failure) {
	var r upgradeRequest
	if bad := decodeBody(body, &r); bad != nil {
		return wanted{}, bad
	}
	target, bad := requiredVersion(r.TargetVersion)
	if bad != nil {
		return wanted{}, bad
	}
	if r.ChangePrivateIP == nil {
		return wanted{}, refuse(codeParameter, msgRequired, "name", "is_change_private_ip")
	}
	w := wanted{target: target, changePrivateIP: *r.ChangePrivateIP}
	switch {
	case r.StatisticsChoice == nil || *r.StatisticsChoice == "":
		if w.changePrivateIP {
			return wanted{}, refuse(codeParameter, msgRequired, "name", "statistics_collection_mode")
		}
	case *r.StatisticsChoice == statisticsBefore:
		w.statistics = upgrade.StatisticsBefore
	case *r.StatisticsChoice == statisticsAfter:
		w.statistics = upgrade.StatisticsAfter
	default:
		return wanted{}, refuse(codeParameter, msgChoice, "name", "statistics_collection_mode",
			"choices", statisticsBefore+", "+statisticsAfter)
	}
	return w, nil
}

// credentials is an identity with which a token is asked for.
type credentials struct{ accessKey, secret string }

// tokenRequest is the body of a request for a token. Of the vendor's identities there are the two
// that can be expressed with an access key.
type tokenRequest struct {
	Auth *struct {
		Identity *struct {
			Methods  []string `json:"methods"`
			Password *struct {
				User *struct {
					Name     *string `json:"name"`
					Password *string `json:"password"`
				} `json:"user"`
			} `json:"password"`
			AKSK *struct {
				Access *struct {
					Key *string `json:"key"`
				} `json:"access"`
				Secret *struct {
					Key *string `json:"key"`
				} `json:"secret"`
			} `json:"hw_ak_sk"`
		} `json:"identity"`
		Scope *struct {
			Project *struct {
				ID   *string `json:"id"`
				Name *string `json:"name"`
			} `json:"project"`
		} `json:"scope"`
	} `json:"auth"`
}

func decodeTokenRequest(body []byte) (tokenRequest, credentials, *failure) {
	var r tokenRequest
	if bad := decodeBody(body, &r); bad != nil {
		return r, credentials{}, bad
	}
	unclear := refuse(codeParameter, msgIdentity)
	if r.Auth == nil || r.Auth.Identity == nil || len(r.Auth.Identity.Methods) != 1 {
		return r, credentials{}, unclear
	}
	var name, secret *string
	switch i := r.Auth.Identity; {
	case i.Methods[0] == "password" && i.Password != nil && i.Password.User != nil:
		name, secret = i.Password.User.Name, i.Password.User.Password
	case i.Methods[0] == "hw_ak_sk" && i.AKSK != nil && i.AKSK.Access != nil && i.AKSK.Secret != nil:
		name, secret = i.AKSK.Access.Key, i.AKSK.Secret.Key
	}
	if name == nil || secret == nil {
		return r, credentials{}, unclear
	}
	return r, credentials{*name, *secret}, nil
}

// projectName is the project that the token is asked for, if one is named. Tokens are good for all.
func (r tokenRequest) projectName() string {
	if r.Auth == nil || r.Auth.Scope == nil || r.Auth.Scope.Project == nil || r.Auth.Scope.Project.Name == nil {
		return ""
	}
	return *r.Auth.Scope.Project.Name
}
