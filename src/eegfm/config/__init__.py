"""What knows Hydra: the schema, composing, mistakes in sentences, the name of a run, objects from config nodes."""
