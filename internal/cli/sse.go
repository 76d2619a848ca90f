package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxMessage is more than any message of a task's stream needs.
const maxMessage = 16 << 20

// errStop ends the reading of a stream.
var errStop = errors.New("stop")

// message is one server-sent event (WHATWG HTML, 9.2.6).
type message struct {
	name string
	id   string
	data string
}

// readMessages reads server-sent events until take returns an error, or to the end.
func readMessages(r io.Reader, take func(message) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMessage)
	var m message
	var data []string
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			m.data = strings.Join(data, "\n")
			if data != nil {
				if err := take(m); err != nil {
					return err
				}
			}
			m, data = message{}, nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			m.name = value
		case "id":
			m.id = value
		case "data":
			data = append(data, value)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	return io.EOF
}
