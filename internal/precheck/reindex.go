package precheck

// reindex is the statement that rebuilds the index c of namespace n, i being its row in pg_index. What excludes cannot be
// rebuilt concurrently (indexcmds.c, ReindexRelationConcurrently), keys WITHOUT OVERLAPS among it.
const reindex = `format('REINDEX INDEX%s %I.%I', CASE WHEN NOT i.indisexclusion THEN ' CONCURRENTLY' END, n.nspname, c.relname)`
