"""Native files -> recordings or arrays, a module per format. A damaged file raises and never passes for data."""
