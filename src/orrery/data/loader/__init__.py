"""From tables to shuffled batches: one order by arithmetic, bounded memory, exact resume."""
