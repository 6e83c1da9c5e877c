"""Which of the facts found answers the turn."""
