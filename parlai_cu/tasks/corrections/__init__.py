"""Corrections that users made in live chats."""
