package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// objectsOfShape has a line for each object that is neither a relation nor of one, nor a function: what it is called
// (pg_identify_object says it in the same words in all versions), what is said of it, and a digest of what is not
// said, since it may hold a password. What is in pg_catalog is not carried over by pg_dump; nor are shell operators.
// The parts of operator classes and families are members of an extension if those are.
const objectsOfShape = ofUsers + `, parts AS (
		SELECT classid, objid FROM members
		UNION ALL
		SELECT d.classid, d.objid
		FROM pg_depend d JOIN members m ON m.classid = d.refclassid AND m.objid = d.refobjid
		WHERE d.classid IN ('pg_amop'::regclass, 'pg_amproc'::regclass) AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
		UNION ALL
		-- The cast from a range to its multirange, since 14.
		SELECT classid, objid FROM pg_depend WHERE classid = 'pg_cast'::regclass AND deptype = 'i'
	), objects (class, oid, sub, said, hidden) AS (
		SELECT 'pg_proc'::regclass, aggfnoid::oid, 0, concat_ws(' ', aggkind, aggnumdirectargs, aggtransfn::regprocedure, aggfinalfn::regprocedure,
			aggcombinefn::regprocedure, aggserialfn::regprocedure, aggdeserialfn::regprocedure, aggmtransfn::regprocedure,
			aggminvtransfn::regprocedure, aggmfinalfn::regprocedure, aggfinalextra, aggmfinalextra, aggfinalmodify, aggmfinalmodify,
			aggsortop::regoperator, aggtranstype::regtype, aggtransspace, aggmtranstype::regtype, aggmtransspace,
			quote_nullable(agginitval), quote_nullable(aggminitval)), NULL::text[]
		FROM pg_aggregate
		UNION ALL
		SELECT 'pg_operator'::regclass, oid, 0, concat_ws(' ', oprkind, CASE WHEN oprcanmerge THEN 'merges' END, CASE WHEN oprcanhash THEN 'hashes' END,
			oprresult::regtype, oprcode::regprocedure, oprcom::regoperator, oprnegate::regoperator, oprrest::regprocedure, oprjoin::regprocedure), NULL
		FROM pg_operator
		WHERE oprcode <> 0
		UNION ALL
		SELECT 'pg_opfamily'::regclass, oid, 0, '', NULL
		FROM pg_opfamily
		UNION ALL
		SELECT 'pg_opclass'::regclass, oid, 0, concat_ws(' ', (pg_identify_object('pg_opfamily'::regclass, opcfamily, 0)).identity,
			opcintype::regtype, CASE WHEN opcdefault THEN 'default' END, opckeytype::regtype), NULL
		FROM pg_opclass
		UNION ALL
		SELECT 'pg_amop'::regclass, oid, 0, concat_ws(' ', amopopr::regoperator, amoppurpose,
			CASE WHEN amopsortfamily <> 0 THEN (pg_identify_object('pg_opfamily'::regclass, amopsortfamily, 0)).identity END), NULL
		FROM pg_amop
		UNION ALL
		SELECT 'pg_amproc'::regclass, oid, 0, amproc::regprocedure::text, NULL
		FROM pg_amproc
		UNION ALL
		SELECT 'pg_am'::regclass, oid, 0, concat_ws(' ', amtype, amhandler), NULL
		FROM pg_am
		UNION ALL
		SELECT 'pg_cast'::regclass, oid, 0, concat_ws(' ', castfunc::regprocedure, castcontext, castmethod), NULL
		FROM pg_cast
		UNION ALL
		-- The locale of ICU has a column of its own since 15, and another name since 17. Since 16 it is made a language tag
		-- when it is declared, but not by pg_upgrade (collationcmds.c, DefineCollation).
		SELECT 'pg_collation'::regclass, c.oid, 0, concat_ws(' ', collprovider, CASE WHEN NOT collisdeterministic THEN 'not deterministic' END,
			CASE collprovider WHEN 'c' THEN collcollate || ', ' || collctype
				ELSE replace(lower(replace(coalesce(j ->> 'colllocale', j ->> 'colliculocale', collcollate), '_', '-')), '-true', '') END,
			'rules ' || (j ->> 'collicurules')), NULL
		FROM pg_collation c CROSS JOIN LATERAL to_jsonb(c) AS j
		UNION ALL
		SELECT 'pg_conversion'::regclass, oid, 0, concat_ws(' ', pg_encoding_to_char(conforencoding), pg_encoding_to_char(contoencoding), conproc,
			CASE WHEN condefault THEN 'default' END), NULL
		FROM pg_conversion
		UNION ALL
		SELECT 'pg_statistic_ext'::regclass, oid, 0, 'statistics ' || nullif(stxstattarget, -1), NULL
		FROM pg_statistic_ext
		WHERE stxrelid NOT IN (SELECT oid FROM pg_class WHERE relpersistence = 't')
		UNION ALL
		SELECT 'pg_type'::regclass, oid, 0, concat_ws(' ', typlen, typbyval, typcategory, typispreferred, typdelim, typinput, typoutput, typreceive,
			typsend, typmodin, typmodout, typanalyze, typalign, typstorage, typelem::regtype, typcollation <> 0, quote_nullable(typdefault)), NULL
		FROM pg_type
		WHERE typtype = 'b' AND typcategory <> 'A'
		UNION ALL
		SELECT 'pg_type'::regclass, rngtypid, 0, concat_ws(' ', rngsubtype::regtype, (pg_identify_object('pg_opclass'::regclass, rngsubopc, 0)).identity,
			CASE WHEN rngcollation <> 0 THEN (pg_identify_object('pg_collation'::regclass, rngcollation, 0)).identity END,
			rngcanonical::regprocedure, rngsubdiff::regprocedure), NULL
		FROM pg_range
		UNION ALL
		SELECT 'pg_language'::regclass, oid, 0, concat_ws(' ', CASE WHEN lanpltrusted THEN 'trusted' END, lanplcallfoid::regprocedure,
			laninline::regprocedure, lanvalidator::regprocedure), NULL
		FROM pg_language
		UNION ALL
		SELECT 'pg_transform'::regclass, oid, 0, concat_ws(' ', trffromsql::regprocedure, trftosql::regprocedure), NULL
		FROM pg_transform
		UNION ALL
		SELECT 'pg_ts_parser'::regclass, oid, 0, concat_ws(' ', prsstart, prstoken, prsend, prsheadline, prslextype), NULL
		FROM pg_ts_parser
		UNION ALL
		SELECT 'pg_ts_template'::regclass, oid, 0, concat_ws(' ', tmplinit, tmpllexize), NULL
		FROM pg_ts_template
		UNION ALL
		SELECT 'pg_ts_dict'::regclass, oid, 0, concat_ws(' ', (pg_identify_object('pg_ts_template'::regclass, dicttemplate, 0)).identity, dictinitoption), NULL
		FROM pg_ts_dict
		UNION ALL
		SELECT 'pg_ts_config'::regclass, c.oid, 0, concat_ws(' ', (pg_identify_object('pg_ts_parser'::regclass, cfgparser, 0)).identity, (
			SELECT string_agg(format('%s:%s', maptokentype, mapdict::regdictionary), ' ' ORDER BY maptokentype, mapseqno)
			FROM pg_ts_config_map WHERE mapcfg = c.oid)), NULL
		FROM pg_ts_config c
		UNION ALL
		SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, concat_ws(' ', fdwhandler::regprocedure, fdwvalidator::regprocedure), fdwoptions
		FROM pg_foreign_data_wrapper
		UNION ALL
		SELECT 'pg_foreign_server'::regclass, s.oid, 0, concat_ws(' ', fdwname, quote_nullable(srvtype), quote_nullable(srvversion)), srvoptions
		FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
		UNION ALL
		SELECT 'pg_user_mapping'::regclass, oid, 0, '', umoptions
		FROM pg_user_mapping
		UNION ALL
		SELECT 'pg_class'::regclass, ftrelid, 0, srvname, ftoptions
		FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver
		UNION ALL
		SELECT 'pg_class'::regclass, attrelid, attnum, '', attfdwoptions
		FROM pg_foreign_table t JOIN pg_attribute a ON a.attrelid = t.ftrelid
		WHERE attfdwoptions IS NOT NULL AND NOT attisdropped
		UNION ALL
		SELECT 'pg_publication'::regclass, p.oid, 0, concat_ws(' ', CASE WHEN puballtables THEN 'all tables' END,
			CASE WHEN (j ->> 'puballsequences')::boolean THEN 'all sequences' END, CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
			CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END, CASE WHEN pubviaroot THEN 'via root' END,
			'generated columns ' || nullif(j ->> 'pubgencols', 'n')), NULL
		FROM pg_publication p CROSS JOIN LATERAL to_jsonb(p) AS j
		WHERE pubname !~ '^pgleap_'
		UNION ALL
		-- Whose rows are chosen is a definition.
		SELECT 'pg_publication_rel'::regclass, r.oid, 0, concat_ws(' ', CASE WHEN (j ->> 'prexcept')::boolean THEN 'except' END, (
			SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname)
			FROM unnest({15:r.prattrs|NULL::int2vector}) AS number JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = number)), NULL
		FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid CROSS JOIN LATERAL to_jsonb(r) AS j
		WHERE pubname !~ '^pgleap_'
		{15:UNION ALL
		SELECT 'pg_publication_namespace'::regclass, oid, 0, '', NULL
		FROM pg_publication_namespace|}
		UNION ALL
		SELECT 'pg_subscription'::regclass, s.oid, 0, concat_ws(' ', CASE WHEN subenabled THEN 'enabled' END, 'of ' || subpublications::text,
			'slot ' || quote_ident(subslotname)), ARRAY[subconninfo]
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND s.subname !~ '^pgleap_'
	)
	-- A transform is for a type ON LANGUAGE of one until 16.
	SELECT concat_ws(': ', format('%s %s', i.type, replace(i.identity, ' on language ', ' language ')), nullif(concat_ws(', ', nullif(o.said, ''),
			CASE WHEN o.hidden IS NOT NULL THEN 'options (not shown)' END), '')),
		-- pg_dump writes them in their order.
		coalesce((SELECT md5(string_agg(option, ',' ORDER BY option COLLATE "C")) FROM unnest(o.hidden) AS option), '')
	FROM objects o CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, o.sub) AS i
	WHERE o.oid >= 16384 AND (o.class, o.oid) NOT IN (SELECT classid, objid FROM parts)
		AND coalesce(i.schema, '') !~ '^"?(pg_catalog|information_schema|pgleap|pg_(toast_)?temp_[0-9]+)"?$'`

func readObjects(ctx context.Context, conn *pgx.Conn) (Shape, error) {
	rows, err := conn.Query(ctx, knownTo(conn, objectsOfShape))
	if err != nil {
		return nil, err
	}
	objects := Shape{}
	var line, hidden string
	_, err = pgx.ForEachRow(rows, []any{&line, &hidden}, func() error {
		objects[Plain(line)] = Definition{Hidden: hidden}
		return nil
	})
	return objects, err
}
