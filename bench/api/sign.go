package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	aliyunDate      = "2006-01-02T15:04:05Z"
	huaweiDate      = "20060102T150405Z"
	huaweiAlgorithm = "SDK-HMAC-SHA256"
	emptyDigest     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
)

// appendEscaped percent-encodes a text, with a sign for the percent that may be encoded itself.
func appendEscaped(b []byte, text, percent string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		default:
			b = append(append(b, percent...), digits[c>>4], digits[c&15])
		}
	}
	return b
}

// maker writes signed requests. It belongs to one connection.
type maker interface {
	// appendRequest appends a request about an instance.
	appendRequest(b []byte, instance int) []byte
}

// The parameters that differ from request to request.
const (
	instanceHole = "\x00instance"
	nonceHole    = "\x00nonce"
	dateHole     = "\x00date"
	saltHole     = "\x00salt"
)

// aliyunMaker signs with Alibaba's version 1. Everything that stays the same is encoded beforehand.
type aliyunMaker struct {
	query, toSign []string // constant parts and holes in turn
	tail          string
	mac           hash.Hash
	random        *rand.Rand
	text, sum     []byte
}

func newAliyunMaker(p peer, params url.Values) *aliyunMaker {
	m := &aliyunMaker{
		mac:    hmac.New(sha1.New, []byte(p.Secret+"&")),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		tail:   " HTTP/1.1\r\nHost: " + p.Address + "\r\nUser-Agent: pgleap-bench\r\nAccept: application/json\r\n\r\n",
	}
	all := url.Values{
		"AccessKeyId": {p.Key}, "Action": {"DescribeUpgradeMajorVersionTasks"}, "DBInstanceId": {instanceHole}, "Format": {"JSON"},
		"RegionId": {"local"}, "SignatureMethod": {"HMAC-SHA1"}, "SignatureNonce": {nonceHole}, "SignatureType": {""},
		"SignatureVersion": {"1.0"}, "Timestamp": {dateHole}, "Version": {"2014-08-15"},
	}
	for name, values := range params {
		all[name] = values
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var query, toSign []byte
	hole := func(name string) {
		m.query, m.toSign = append(m.query, string(query), name), append(m.toSign, string(toSign), name)
		query, toSign = nil, nil
	}
	toSign = append(toSign, "GET&%2F&"...)
	query = append(query, "GET /?"...)
	for i, name := range names {
		if i > 0 {
			query, toSign = append(query, '&'), append(toSign, "%26"...)
		}
		query, toSign = append(append(query, name...), '='), append(append(toSign, name...), "%3D"...)
		if value := all.Get(name); strings.HasPrefix(value, "\x00") {
			hole(value)
		} else {
			query, toSign = appendEscaped(query, value, "%"), appendEscaped(toSign, value, "%25")
		}
	}
	query = append(query, "&Signature="...)
	hole("")
	return m
}

func (m *aliyunMaker) appendRequest(b []byte, instance int) []byte {
	id, nonce, now := instanceID(instance), [2]uint64{m.random.Uint64(), m.random.Uint64()}, time.Now().UTC()
	m.text = appendFilled(m.text[:0], m.toSign, "%253A", id, nonce, now)
	m.mac.Reset()
	m.mac.Write(m.text)
	m.sum = m.mac.Sum(m.sum[:0])
	b = appendFilled(b, m.query, "%3A", id, nonce, now)
	m.text = base64.StdEncoding.AppendEncode(m.text[:0], m.sum)
	b = appendEscaped(b, string(m.text), "%")
	return append(b, m.tail...)
}

// appendFilled puts values into the holes.
func appendFilled(b []byte, parts []string, colon, id string, nonce [2]uint64, now time.Time) []byte {
	for i := 0; i < len(parts); i += 2 {
		b = append(b, parts[i]...)
		switch parts[i+1] {
		case instanceHole:
			b = append(b, id...)
		case nonceHole:
			b = appendHex(appendHex(b, nonce[0]), nonce[1])
		case saltHole:
			b = appendHex(b, nonce[0])
		case dateHole:
			b = append(now.AppendFormat(b, "2006-01-02T15"), colon...)
			b = append(now.AppendFormat(b, "04"), colon...)
			b = append(now.AppendFormat(b, "05"), 'Z')
		}
	}
	return b
}

func appendHex(b []byte, n uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return b
}

// huaweiMaker signs with SDK-HMAC-SHA256. The signed headers are those of the vendor's Go SDK.
type huaweiMaker struct {
	peer
	mac       hash.Hash
	text, sum []byte
}

const huaweiProject = "bench"

func newHuaweiMaker(p peer) *huaweiMaker {
	return &huaweiMaker{peer: p, mac: hmac.New(sha256.New, []byte(p.Secret))}
}

func (m *huaweiMaker) appendRequest(b []byte, instance int) []byte {
	path := "/v3/" + huaweiProject + "/instances/" + instanceUUID(instance) + "in03/major-version/status"
	date := time.Now().UTC().Format(huaweiDate)
	const query, headers = "action=upgrade", "x-project-id;x-sdk-date"
	m.text = append(append(m.text[:0], "GET\n"...), path...)
	m.text = append(m.text, "/\n"+query+"\nx-project-id:"+huaweiProject+"\nx-sdk-date:"...)
	m.text = append(append(m.text, date...), "\n\n"+headers+"\n"+emptyDigest...)
	m.sum = signHuawei(m.mac, m.sum[:0], m.text, date)
	b = append(append(append(b, "GET "...), path...), "?"+query+" HTTP/1.1\r\nHost: "...)
	b = append(append(b, m.Address...), "\r\nUser-Agent: pgleap-bench\r\nContent-Type: application/json\r\nX-Project-Id: "+huaweiProject+"\r\nX-Sdk-Date: "...)
	b = append(append(b, date...), "\r\nAuthorization: "+huaweiAlgorithm+" Access="...)
	b = append(append(b, m.Key...), ", SignedHeaders="+headers+", Signature="...)
	return append(hex.AppendEncode(b, m.sum), "\r\n\r\n"...)
}

// signHuawei appends the signature of a canonical request.
func signHuawei(mac hash.Hash, to, canonical []byte, date string) []byte {
	digest := sha256.Sum256(canonical)
	text := make([]byte, 0, 128)
	text = append(append(append(text, huaweiAlgorithm+"\n"...), date...), '\n')
	mac.Reset()
	mac.Write(hex.AppendEncode(text, digest[:]))
	return mac.Sum(to)
}
