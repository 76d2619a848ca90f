package huawei

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// errorBody is the form of every refusal.
type errorBody struct {
	Code      string `json:"error_code"`
	Message   string `json:"error_msg"`
	RequestID string `json:"request_id"`
}

// fail answers with a refusal. What means nothing to the caller goes into the log.
func (a *api) fail(w http.ResponseWriter, c *call, f *failure) {
	if f.code.status >= http.StatusInternalServerError {
		a.log.ErrorContext(c.request.Context(), "request failed", "request", c.id,
			"method", c.request.Method, "path", c.request.URL.Path, "error", f.err)
	}
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	write(w, f.code.status, errorBody{Code: f.code.name, Message: f.text(c.language), RequestID: c.id})
}

// write sends an answer.
func write(w http.ResponseWriter, status int, answer any) {
	body, ok := answer.(rendered)
	if !ok {
		body = render(answer)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck,gosec // the caller may have gone away; JSON is no page
}

// render encodes an answer. Texts are for people: their quotes and ampersands stay as they are.
func render(answer any) rendered {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		panic(err) // the types of this package can be encoded, all of them
	}
	return text.Bytes()
}
