// Package client is the generated client of pgleap's own API (see native/openapi.yaml).
package client

//go:generate go tool -modfile=../../../../tools/go.mod oapi-codegen -config oapi-client.yaml ../openapi.yaml
