"""Customer support of a telecommunications company: facts, dialogues, updates."""
