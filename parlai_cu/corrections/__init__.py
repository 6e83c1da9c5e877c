"""Corrections from live chats: read, masked, reviewed."""
