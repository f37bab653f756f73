"""What every room may use: files written whole and locked, this process changed for a while, texts for a person."""
