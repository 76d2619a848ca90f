package authz

import (
	"net"
	"strconv"
	"time"
)

// InstanceARN is what policies call an instance, in both clouds' APIs.
func InstanceARN(region, account, id string) string {
	return "acs:rds:" + region + ":" + account + ":dbinstance/" + id
}

// Conditions are what is known of every request, by the keys that conditions ask for. The address is
// the one that it came from (net/http's RemoteAddr): no header can claim another.
func Conditions(remoteAddr string, at time.Time, overTLS bool) map[string][]string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		host = remoteAddr
	}
	return map[string][]string{
		"acs:SourceIp":        {host},
		"acs:CurrentTime":     {at.UTC().Format(time.RFC3339)},
		"acs:SecureTransport": {strconv.FormatBool(overTLS)},
	}
}
