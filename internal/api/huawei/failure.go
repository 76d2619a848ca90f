package huawei

// code is one of the vendor's error codes with its HTTP status. DBS codes are of RDS itself, APIGW
// codes of the gateway before it.
type code struct {
	status int
	name   string
}

// The codes that are raised here. docs/huawei.md lists them; a test compares.
var (
	codeUnknownAPI      = code{404, "APIGW.0101"}
	codeMalformed       = code{400, "APIGW.0201"}
	codeTooLarge        = code{413, "APIGW.0201"}
	codeTimeout         = code{504, "APIGW.0201"}
	codeUnauthenticated = code{401, "APIGW.0301"}
	codeForbidden       = code{403, "APIGW.0302"}
	codeThrottled       = code{429, "APIGW.0308"}
	codeParameter       = code{400, "DBS.280001"}
	codeInstanceFormat  = code{400, "DBS.280404"}
	codeNoBody          = code{400, "DBS.200006"}
	codeInstanceAbsent  = code{404, "DBS.200002"}
	codeOtherProject    = code{403, "DBS.200010"}
	codeRunning         = code{409, "DBS.200019"}
	codeUnsupported     = code{400, "DBS.200040"}
	codeTarget          = code{400, "DBS.200041"}
	codeState           = code{400, "DBS.200086"}
	codeNoReport        = code{409, "DBS.200402"}
	codeStorage         = code{409, "DBS.200316"}
	codeJobAbsent       = code{400, "DBS.200543"}
	codeInternal        = code{500, "DBS.200005"}
)

// codes lists all of the above.
func codes() []code {
	return []code{
		codeUnknownAPI, codeMalformed, codeTooLarge, codeTimeout, codeUnauthenticated, codeForbidden, codeThrottled,
		codeParameter, codeInstanceFormat, codeNoBody, codeInstanceAbsent, codeOtherProject, codeRunning,
		codeUnsupported, codeTarget, codeState, codeNoReport, codeStorage, codeJobAbsent, codeInternal,
	}
}

// failure is a refusal as the caller sees it.
type failure struct {
	code    code
	message message
	args    []string
	detail  string // what internal/control says of it, in English
	// retryAfter is the number of seconds to wait, when the caller was throttled.
	retryAfter int
	err        error // what the server's log is to hold; the caller does not see it
}

// refuse returns a failure. Arguments are those of the message.
func refuse(c code, m message, args ...string) *failure {
	return &failure{code: c, message: m, args: args}
}

// Error returns code and message in English, as the audit trail has them.
func (f *failure) Error() string { return f.code.name + " " + f.text(english) }

// Unwrap returns what the server's log is to hold.
func (f *failure) Unwrap() error { return f.err }

// text returns what the caller reads.
func (f *failure) text(in language) string {
	text := f.message.text(in, f.args...)
	if f.detail == "" {
		return text
	}
	return msgDetail.text(in, "message", text, "detail", said(f.detail, in))
}
