"""The life of an update: diagnosis, choice, training, gate, report."""
