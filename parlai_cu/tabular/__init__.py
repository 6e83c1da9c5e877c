"""Tables and texts as people keep them: encodings, delimiters, workbooks, headers."""
