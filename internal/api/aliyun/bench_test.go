package aliyun

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

var signedRequests = map[string]func() *http.Request{
	"v1": func() *http.Request { return newV1().signed().request() },
	"v3": func() *http.Request { return newV3().request() },
}

// BenchmarkVerify decodes a request and checks its signature.
func BenchmarkVerify(b *testing.B) {
	for version, request := range signedRequests {
		b.Run(version, func(b *testing.B) {
			d, r, w := newDoor(b), request(), httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				q, err := decodeRequest(w, r)
				if err != nil {
					b.Fatal(err)
				}
				who, err := d.api.credentialsOf(&q)
				if err != nil {
					b.Fatal(err)
				}
				if err := who.verify(testSecret); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkServe does everything for an answer that is remembered, but what the record costs.
func BenchmarkServe(b *testing.B) {
	d := newDoor(b)
	d.api.actions["DescribeUpgradeMajorVersionTasks"].cached = true
	for version, request := range signedRequests {
		b.Run(version, func(b *testing.B) {
			r := request()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				clear(d.nonces)
				d.calls = d.calls[:0]
				w := httptest.NewRecorder()
				d.api.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(strconv.Itoa(i) + ": " + w.Body.String())
				}
			}
		})
	}
}
