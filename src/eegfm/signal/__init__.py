"""EEG signals: recordings in microvolts, places on the head, and the steps from a file to a window."""
