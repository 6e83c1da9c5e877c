"""One file a fault."""
