package onhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pgleap/pgleap/internal/verify"
)

// noteCompared is what a verification has compared so far, an entry a line.
const noteCompared note = "compared.jsonl"

// comparedBegin is the first line.
type comparedBegin struct {
	Attempt int       `json:"attempt"`
	Begun   time.Time `json:"begun"`
}

// compared is the record of a verification under way. It is written for a successor of this process, not
// for one of the machine: the snapshots do not survive that.
type compared struct {
	begun time.Time
	state verify.State
	file  *os.File // nil if it cannot be written
}

// openCompared goes on with the record of an attempt, or begins it. With an error it is not kept.
func openCompared(f files, attempt int, now time.Time) (*compared, error) {
	path := filepath.Join(f.dir, string(noteCompared))
	c := &compared{begun: now}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("read what was compared: %w", err)
	}
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND | syscall.O_NOFOLLOW
	known := c.read(string(text), attempt)
	if !known {
		mode |= os.O_TRUNC
	}
	if c.file, err = os.OpenFile(path, mode, 0o600); err != nil {
		return c, fmt.Errorf("note what is compared: %w", err)
	}
	if known {
		_, err = io.WriteString(c.file, "\n") // after a torn line, if there is one
		return c, err
	}
	return c, c.write(comparedBegin{Attempt: attempt, Begun: now})
}

// read takes in the lines of an attempt. One that is torn is as if it were not there.
func (c *compared) read(text string, attempt int) (known bool) {
	lines := strings.Split(text, "\n")
	var begin comparedBegin
	if json.Unmarshal([]byte(lines[0]), &begin) != nil || begin.Attempt != attempt {
		return false
	}
	c.begun = begin.Begun
	for _, line := range lines[1:] {
		var entry verify.Entry
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Database != "" {
			c.state.Add(entry)
		}
	}
	return true
}

func (c *compared) enter(e verify.Entry) error { return c.write(e) }

func (c *compared) write(line any) error {
	if c.file == nil {
		return nil
	}
	text, err := json.Marshal(line)
	if err == nil {
		_, err = c.file.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note what is compared: %w", err)
	}
	return nil
}

func (c *compared) close() {
	if c.file != nil {
		_ = c.file.Close()
	}
}
