"""Facts from files as people keep them: tables, questions and answers, documents, records."""
