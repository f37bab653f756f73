"""A person's own recordings, declared in a YAML file: see `declared`."""
