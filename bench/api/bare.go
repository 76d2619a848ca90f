package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// bareHandler is the alternative: it verifies the signatures of both vendors as simply as one can,
// and answers the same to everybody. It knows one key, no instance, and forgets every request.
type bareHandler struct {
	key, secret string
	answer      atomic.Pointer[[]byte]
}

func (b *bareHandler) obey(o orders) error {
	if o.Answer == nil {
		return errors.New("unknown order")
	}
	b.answer.Store(&o.Answer)
	return nil
}

func (b *bareHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verify := b.verifyAliyun
	if strings.HasPrefix(r.URL.Path, "/v3/") {
		verify = b.verifyHuawei
	}
	if !verify(r) {
		http.Error(w, "the signature does not match", http.StatusForbidden)
		return
	}
	answer := *b.answer.Load()
	h := w.Header()
	h.Set("Content-Type", "application/json;charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	h.Set("X-Request-Id", rand.Text())
	w.Write(answer) //nolint:errcheck // the client went away
}

// isRecent tells whether a request was made within 15 minutes.
func isRecent(layout, date string) bool {
	at, err := time.Parse(layout, date)
	return err == nil && time.Since(at).Abs() <= 15*time.Minute
}

type pair struct{ name, value string }

// pairsOf decodes and sorts the parameters of a query.
func pairsOf(query string) []pair {
	pairs := make([]pair, 0, 16)
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil {
			return nil
		}
		pairs = append(pairs, pair{name, value})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return pairs
}

func (b *bareHandler) verifyAliyun(r *http.Request) bool {
	text := append(make([]byte, 0, 1024), r.Method...)
	text = append(text, "&%2F&"...)
	head := len(text)
	var key, date, given string
	for _, p := range pairsOf(r.URL.RawQuery) {
		switch p.name {
		case "Signature":
			given = p.value
			continue
		case "AccessKeyId":
			key = p.value
		case "Timestamp":
			date = p.value
		}
		if len(text) > head {
			text = append(text, "%26"...)
		}
		text = append(appendEscaped(text, p.name, "%"), "%3D"...)
		text = appendEscaped(text, p.value, "%25")
	}
	mac := hmac.New(sha1.New, []byte(b.secret+"&"))
	mac.Write(text)
	signature, err := base64.StdEncoding.DecodeString(given)
	return err == nil && hmac.Equal(signature, mac.Sum(nil)) && key == b.key && isRecent(aliyunDate, date)
}

func (b *bareHandler) verifyHuawei(r *http.Request) bool {
	fields := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), huaweiAlgorithm+" "), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	text := append(make([]byte, 0, 512), r.Method...)
	text = append(text, '\n')
	text = append(append(text, r.URL.EscapedPath()...), "/\n"...)
	for i, p := range pairsOf(r.URL.RawQuery) {
		if i > 0 {
			text = append(text, '&')
		}
		text = append(appendEscaped(text, p.name, "%"), '=')
		text = appendEscaped(text, p.value, "%")
	}
	text = append(text, '\n')
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		text = append(append(text, name...), ':')
		text = append(append(text, strings.TrimSpace(r.Header.Get(name))...), '\n')
	}
	text = append(append(text, '\n'), fields["SignedHeaders"]...)
	text = append(append(text, '\n'), emptyDigest...)
	date := r.Header.Get("X-Sdk-Date")
	signature, err := hex.DecodeString(fields["Signature"])
	return err == nil && hmac.Equal(signature, signHuawei(hmac.New(sha256.New, []byte(b.secret)), nil, text, date)) &&
		fields["Access"] == b.key && isRecent(huaweiDate, date)
}
