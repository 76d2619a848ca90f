package catalog

import (
	"encoding/hex"

	"github.com/google/uuid"
)

// newUUID is a random UUID as 32 hexadecimal digits.
func newUUID() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}
