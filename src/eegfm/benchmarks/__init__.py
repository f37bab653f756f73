"""One file per benchmark: a corpus and its published protocol, as facts."""
