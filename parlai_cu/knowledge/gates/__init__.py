"""When to ask for knowledge: one file per gate."""
