"""From raw files to a store: fetched, processed, cut, embedded."""
