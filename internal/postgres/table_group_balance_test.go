package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each table is "name writes bytes", with "in group" if it has one; each link "from to".
func TestShareTables(t *testing.T) {
	for _, c := range []struct {
		name   string
		tables []string
		links  []string
		groups int
		want   []string // the tables of each group
	}{
		{"none", nil, nil, 2, nil},
		{"one table", []string{"a 1 1"}, nil, 2, []string{"a"}},
		{"equal tables", []string{"a 5 1", "b 5 1", "c 5 1", "d 5 1"}, nil, 2, []string{"a c", "b d"}},
		{"the heavy one alone", []string{"a 1 1", "b 1 1", "c 1 1", "heavy 3 1"}, nil, 2, []string{"heavy", "a b c"}},
		{"more groups than tables", []string{"a 5 1", "b 5 1"}, nil, 3, []string{"a", "b"}},
		{"nothing counted: by size", []string{"a 0 100", "b 0 100", "big 0 200"}, nil, 2, []string{"big", "a b"}},
		{"nothing at all: by number", []string{"a 0 0", "b 0 0", "c 0 0"}, nil, 3, []string{"a", "b", "c"}},
		{
			"an archive that nobody writes to weighs little",
			[]string{"a 5 1", "archive 0 1000", "b 5 1", "c 5 1", "d 5 1"},
			nil, 2,
			[]string{"a archive c", "b d"},
		},
		{
			"linked tables stay together",
			[]string{"item 5 1", "order 5 1", "page 5 1", "site 5 1"},
			[]string{"item order", "page site"},
			2,
			[]string{"item order", "page site"},
		},
		{
			"but not at the price of balance",
			[]string{"item 10 1", "order 10 1", "a 1 1"},
			[]string{"item order", "a item"},
			2,
			[]string{"item a", "order"},
		},
		{
			"with the most links",
			[]string{"x 10 1", "y 10 1", "z 10 1", "small 1 1"},
			[]string{"small x", "small z", "z small"},
			3,
			[]string{"x", "y", "z small"},
		},
		{
			"what has a group keeps it",
			[]string{"a 9 1 in 2", "b 9 1 in 2", "c 1 1", "d 1 1"},
			nil, 2,
			[]string{"c d", "a b"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			tables, links := parseTables(t, c.tables, c.links)
			shared := shareTables(tables, links, c.groups)
			if !strings.Contains(strings.Join(c.tables, ","), " in ") {
				if len(shared) != len(tables) {
					t.Errorf("%d of %d tables were shared", len(shared), len(tables))
				}
				closeRanks(tables)
			}
			if diff := cmp.Diff(c.want, groupsOf(tables)); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

// Many tables of all sizes: no group has more than its share and the greatest table.
func TestSharesAreBalanced(t *testing.T) {
	var tables []groupedTable
	for i := range 300 {
		tables = append(tables, groupedTable{OID: uint32(i + 1), Name: fmt.Sprint("t", i), Writes: float64(i * i), Bytes: float64(i % 17)})
	}
	var links []tableLink
	for i := range 299 {
		links = append(links, tableLink{uint32(i + 1), uint32(i + 2)})
	}
	for groups := 2; groups <= 8; groups++ {
		shared := slices.Clone(tables)
		shareTables(shared, links, groups)
		costs, total := costsOf(shared)
		load := make([]float64, groups+1)
		for i, table := range shared {
			load[table.Group] += costs[i]
		}
		if most := slices.Max(load); most > total/float64(groups)*(1+groupSlack)+slices.Max(costs) || load[0] > 0 {
			t.Errorf("%d groups: %v of %v", groups, load[1:], total)
		}
	}
}

func TestCutLinks(t *testing.T) {
	tables, links := parseTables(t,
		[]string{"a 1 1 in 1", "b 1 1 in 2", "c 1 1 in 2", "later 1 1"},
		[]string{"a b", "b c", "c a", "later a"})
	if diff := cmp.Diff([]string{"a and b", "c and a"}, cutLinks(tables, links)); diff != "" {
		t.Errorf("cut (-want +got):\n%s", diff)
	}
}

func parseTables(t *testing.T, lines, links []string) (tables []groupedTable, parsed []tableLink) {
	t.Helper()
	oids := map[string]uint32{}
	for i, line := range lines {
		table := groupedTable{OID: uint32(i + 1)}
		if n, _ := fmt.Sscanf(line, "%s %g %g in %d", &table.Name, &table.Writes, &table.Bytes, &table.Group); n < 3 {
			t.Fatalf("no table: %s", line)
		}
		oids[table.Name] = table.OID
		tables = append(tables, table)
	}
	for _, link := range links {
		from, to, _ := strings.Cut(link, " ")
		parsed = append(parsed, tableLink{oids[from], oids[to]})
	}
	return tables, parsed
}

func groupsOf(tables []groupedTable) (groups []string) {
	for _, table := range tables {
		for len(groups) < table.Group {
			groups = append(groups, "")
		}
		groups[table.Group-1] = strings.TrimSpace(groups[table.Group-1] + " " + table.Name)
	}
	return groups
}
