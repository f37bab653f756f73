"""What makes one data set of several corpora: batches, channels, leaks between corpora, facts."""
