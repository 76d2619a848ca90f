// Package huawei speaks the "major version upgrade" part of Huawei Cloud's RDS for PostgreSQL, so
// that the vendor's SDKs work unchanged with only the endpoint overridden. It translates between
// that API and internal/control and decides nothing.
//
// A request goes through these files, in this order:
//
//  1. serve.go: names the request, keeps the door closed while there is no access key, caps sizes;
//     handler.go lists the operations; answer.go writes what they come to.
//  2. identity.go: who calls, by signature (authorization.go, canonical.go) or by token (token.go).
//  3. object.go and authorize.go: which instance is meant, and whether the caller may do this to it;
//     memory.go keeps what is polled.
//  4. One file per operation, such as status.go; decode.go reads parameters, wire.go and
//     report_text.go write what an answer is made of.
//  5. failure.go: which of the vendor's codes a refusal is; messages.go: its words in both languages.
//
// docs/huawei.md is what users read.
package huawei
