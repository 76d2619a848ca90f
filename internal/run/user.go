package run

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// User is the operating system user that a program runs as.
type User struct {
	Name string
	UID  int
	GID  int
	// Groups are the supplementary groups: a key file may be readable by one of them alone.
	Groups []uint32
	Home   string
}

// LookupUser finds a user by name, and refuses one that this process cannot become.
func LookupUser(name string) (User, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return User{}, fmt.Errorf("look up operating system user: %w", err)
	}
	uid, err := strconv.Atoi(found.Uid)
	if err != nil {
		return User{}, fmt.Errorf("user %s has no numeric uid: %w", found.Username, err)
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return User{}, fmt.Errorf("user %s has no numeric gid: %w", found.Username, err)
	}
	groups, err := groupsOf(found)
	if err != nil {
		return User{}, err
	}
	u := User{Name: found.Username, UID: uid, GID: gid, Groups: groups, Home: found.HomeDir}
	if !u.Reachable() {
		return User{}, fmt.Errorf("programs of user %s cannot be run from user id %d; run pgleap as %s or as root", u.Name, os.Geteuid(), u.Name)
	}
	return u, nil
}

func groupsOf(found *user.User) ([]uint32, error) {
	ids, err := found.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up the groups of user %s: %w", found.Username, err)
	}
	groups := make([]uint32, 0, len(ids))
	for _, id := range ids {
		gid, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s is in a group without a number: %w", found.Username, err)
		}
		groups = append(groups, uint32(gid))
	}
	return groups, nil
}

// Reachable tells whether this process can run programs as u.
func (u User) Reachable() bool { return os.Geteuid() == 0 || os.Geteuid() == u.UID }

// Chown gives a path to u; nothing to do when pgleap itself runs as u.
func (u User) Chown(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, u.UID, u.GID)
}
