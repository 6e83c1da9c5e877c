"""Where facts are kept: one file per kind, all of them a ``KnowledgeBase``."""
