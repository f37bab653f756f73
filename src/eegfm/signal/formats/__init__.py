"""Native files -> recordings or arrays, a module a format. Damage becomes a sentence and never passes for data."""
