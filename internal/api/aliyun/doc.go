// Package aliyun is the door for clients of Alibaba Cloud RDS: its RPC API of 2014-08-15, as far as it
// is about upgrading PostgreSQL to a new major version. Unchanged SDKs of the vendor work with it when
// they are given another endpoint and an access key of pgleap.
//
// A request passes, in this order: decoding, signature, time, nonce, throttle, policy, required
// parameters, client token. Only then does its operation run, one file for each, which translates the
// request to internal/control and the answer back, and does nothing else. Whoever may not see an
// instance cannot tell whether it exists, because the policy is asked first.
//
// Names, spellings and values are the vendor's, also where they are odd (InvalideStatus.Format).
package aliyun
