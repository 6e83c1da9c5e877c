"""Conversations from the files that people keep, and a critical look at them."""
