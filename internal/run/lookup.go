package run

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// LookPath finds a program on PATH or where daemons are kept, which the PATH of users often lacks.
func LookPath(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %s is not installed", program)
}
