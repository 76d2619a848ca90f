// Package native is pgleap's own API, /api/v1: openapi.yaml says what it offers, the generated
// server.gen.go routes and decodes, and the files here translate between it and control.
//
// The client is a package of its own (native/client), since a program without a server needs it too.
package native

//go:generate go tool -modfile=../../../tools/go.mod oapi-codegen -config oapi-server.yaml openapi.yaml
