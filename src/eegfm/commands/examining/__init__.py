"""What `eegfm doctor` examines, a module for each part of the machine."""
