"""The loaders that ours is measured beside, and the work sets; no part of Orrery is imported here."""
