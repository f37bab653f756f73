"""What `eegfm doctor` looks at."""
