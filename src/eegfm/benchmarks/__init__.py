"""One file a benchmark: a corpus and its published protocol, as facts."""
