"""From raw files to batches: the prepared store, the pipeline that fills it, and the Lightning data module."""
