package precheck

// All lists the checks in reading order: the instance, its settings, what happens in it at the
// moment, its contents, then the target.
func All() []Check {
	return []Check{
		// The instance.
		versions,
		sourceMinor,
		targetMinor,
		recovery,
		endpoint,
		databases,
		reservedRole,
		reservedSlots,
		reservedObjects,
		subscriptions,

		// The source's settings.
		walLevel,
		replicationSlots,
		walSenders,
		switchback,
		connections,
		slotRetention,
		synchronousStandbys,
		backgroundExtensions,

		// What happens in it at the moment.
		preparedTransactions,
		longTransactions(patience),
		xidAge(1_000_000_000, 1_800_000_000),
		standbys,
		cloneFrom,
		logicalSlots,

		// Its contents.
		replicaIdentity,
		fullIdentityTypes,
		fullIdentitySize,
		unloggedTables(64 << 20),
		largeObjects(256 << 20),
		triggers,
		eventTriggers,
		systemCatalogObjects,
		languages,
		invalidIndexes,
		templateContents,
		tablespaces,

		// The target.
		targetPlace,
		diskSpace,
		memory,
		build,
		dataChecksums,
		extensions,
		preloadedLibraries,
		configurationInvalid,
		configuration,
		defaults,
		roleSettings,
		functionSettings,
		storageOptions,
		encodings,
		locales,
		collationVersions,
		pgUpgradeCheck,
	}
}
