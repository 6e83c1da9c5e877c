"""Questions to tables: typed columns, a typed query, and its answer as a sentence."""
