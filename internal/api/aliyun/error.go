package aliyun

import (
	"net/http"
	"strings"
	"time"
)

// Error is a refusal in the vendor's words.
type Error struct {
	Status  int
	Code    string
	Message string

	echo       string        // follows the message on the wire and is shown nowhere else: what was signed
	retryAfter time.Duration // when throttled
	denied     *denial       // when the policy forbids it
}

// Error returns code and message, for the record. What was signed is not in it.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// fail returns the error of a code, with the code's own message if none is given.
func fail(code, message string) *Error {
	known, ok := errorCodes[code]
	if !ok {
		if missing, is := strings.CutPrefix(code, "Missing"); is && missing != "" {
			known = errorCode{http.StatusBadRequest, missing + " is mandatory for this action.", ""}
		} else {
			code, message = "InternalError", ""
			known = errorCodes[code]
		}
	}
	if message == "" {
		message = known.message
	}
	return &Error{Status: known.status, Code: code, Message: message}
}
