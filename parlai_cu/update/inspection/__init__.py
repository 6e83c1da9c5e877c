"""A critical look at data before anything is learnt from it."""
