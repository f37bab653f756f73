"""The floor that knows Hydra: schema, commands, names of runs, objects out of config nodes."""
