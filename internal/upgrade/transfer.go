package upgrade

// Transfer is how pg_upgrade takes over data files.
type Transfer string

// The ways, named after pg_upgrade's options. TransferAuto picks the fastest that the versions and the
// file system support and that can be taken back.
const (
	TransferAuto          Transfer = "auto"
	TransferClone         Transfer = "clone"
	TransferCopyFileRange Transfer = "copy-file-range" // from 17 on
	TransferCopy          Transfer = "copy"
	TransferLink          Transfer = "link"
	TransferSwap          Transfer = "swap" // from 18 on; the source is gone as soon as it begins
)

// Transfers lists them all.
func Transfers() []Transfer {
	return []Transfer{TransferAuto, TransferClone, TransferCopyFileRange, TransferCopy, TransferLink, TransferSwap}
}

// ChosenTransfer is how files come to the target in place, as was tried on the host.
type ChosenTransfer struct {
	Transfer Transfer `json:"transfer"`
	// Why is the reason for it, and WayBack tells until when the source can be put back.
	Why     string `json:"why"`
	WayBack string `json:"wayBack"`
}
