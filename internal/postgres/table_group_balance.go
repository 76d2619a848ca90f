package postgres

import (
	"cmp"
	"slices"
)

// groupedTable is a table with its partitions, and what its changes cost those who apply them.
type groupedTable struct {
	OID    uint32
	Name   string // quoted
	Writes float64
	Bytes  float64
	Group  int // 0: none yet
}

// tableLink is a foreign key between two tables.
type tableLink struct{ From, To uint32 }

// What the size of a table, and its mere existence, count for beside its share of the writes: they decide where
// nothing has been counted, as after a restore or a reset of the statistics.
const (
	sizeWeight  = 0.05
	tableWeight = 0.01
)

// groupSlack is how much more than its fair share a group may get so that tables which a foreign key links stay
// together.
const groupSlack = 0.1

// shareTables puts each table that has no group yet into one of so many, and returns those. The most expensive
// come first, each to the group with the least to do, unless it fits into one in which there are tables that it is
// linked with.
func shareTables(tables []groupedTable, links []tableLink, groups int) (shared []groupedTable) {
	costs, total := costsOf(tables)
	load := make([]float64, groups+1)
	group := map[uint32]int{}
	order := make([]int, len(tables))
	for i, table := range tables {
		order[i] = i
		group[table.OID] = table.Group
		load[table.Group] += costs[i]
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(costs[b], costs[a]), cmp.Compare(tables[a].Name, tables[b].Name))
	})
	neighbours := neighboursOf(links)
	limit := total / float64(groups) * (1 + groupSlack)
	for _, i := range order {
		table := &tables[i]
		if table.Group > 0 {
			continue
		}
		linked := make([]int, groups+1)
		for _, neighbour := range neighbours[table.OID] {
			linked[group[neighbour]]++
		}
		table.Group = choose(load, linked, costs[i], limit)
		group[table.OID] = table.Group
		load[table.Group] += costs[i]
		shared = append(shared, *table)
	}
	return shared
}

// costsOf is what each table costs, as a part of what all of them do.
func costsOf(tables []groupedTable) (costs []float64, total float64) {
	var writes, bytes float64
	for _, table := range tables {
		writes, bytes = writes+table.Writes, bytes+table.Bytes
	}
	for _, table := range tables {
		cost := tableWeight / float64(len(tables))
		if writes > 0 {
			cost += table.Writes / writes
		}
		if bytes > 0 {
			cost += sizeWeight * table.Bytes / bytes
		}
		costs, total = append(costs, cost), total+cost
	}
	return costs, total
}

// neighboursOf lists for each table those that foreign keys link with it.
func neighboursOf(links []tableLink) map[uint32][]uint32 {
	neighbours := map[uint32][]uint32{}
	for _, link := range links {
		neighbours[link.From] = append(neighbours[link.From], link.To)
		neighbours[link.To] = append(neighbours[link.To], link.From)
	}
	return neighbours
}

// choose is the group for the next table. load and linked go by the group's number; that at 0 is nobody's.
func choose(load []float64, linked []int, cost, limit float64) int {
	lightest, nearest := 1, 0
	for group := 1; group < len(load); group++ {
		if load[group] < load[lightest] {
			lightest = group
		}
		if linked[group] > 0 && load[group]+cost <= limit && (nearest == 0 || linked[group] > linked[nearest]) {
			nearest = group
		}
	}
	if nearest > 0 {
		return nearest
	}
	return lightest
}

// closeRanks numbers the groups that have tables from 1 on. It returns how many they are.
func closeRanks(tables []groupedTable) int {
	var used []int
	for _, table := range tables {
		used = append(used, table.Group)
	}
	slices.Sort(used)
	used = slices.Compact(used)
	for i := range tables {
		tables[i].Group = slices.Index(used, tables[i].Group) + 1
	}
	return len(used)
}

// cutLinks are the foreign keys between groups.
func cutLinks(tables []groupedTable, links []tableLink) (cut []string) {
	known := map[uint32]groupedTable{}
	for _, table := range tables {
		known[table.OID] = table
	}
	for _, link := range links {
		from, to := known[link.From], known[link.To]
		if from.Group != to.Group && from.Group > 0 && to.Group > 0 {
			cut = append(cut, from.Name+" and "+to.Name)
		}
	}
	slices.Sort(cut)
	return slices.Compact(cut)
}
