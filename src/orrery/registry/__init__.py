"""Published models: names, versions, aliases, lineage."""
