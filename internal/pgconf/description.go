package pgconf

import "strings"

// Parameter is what a server says of one of its settings, in the words of
// pg_settings.
type Parameter struct {
	Name     string
	Context  string   // who may set it, and when: internal, postmaster, sighup, ..., user
	Type     string   // bool, integer, real, string, enum
	Unit     string   // of Default, Min and Max: B, kB, 8kB, MB, us, ms, s, min; empty if it has none
	Default  string   // the built-in one (boot_val)
	Min, Max string   // of numbers
	Values   []string // of enums; a server may take more spellings than it lists
}

// Description is what a server says of all its settings.
type Description struct {
	parameters map[string]Parameter // by folded name
}

// Describe makes a description of the rows of pg_settings. Names with a dot
// belong to extensions, which a server describes only once they are loaded;
// they are left out.
func Describe(parameters []Parameter) Description {
	d := Description{map[string]Parameter{}}
	for _, p := range parameters {
		if !strings.Contains(p.Name, ".") {
			d.parameters[foldName(p.Name)] = p
		}
	}
	return d
}

// Get returns the parameter of a name.
func (d Description) Get(name string) (Parameter, bool) {
	p, ok := d.parameters[foldName(name)]
	return p, ok
}

// Knows tells whether the server has such a setting.
func (d Description) Knows(name string) bool {
	_, ok := d.Get(name)
	return ok
}
