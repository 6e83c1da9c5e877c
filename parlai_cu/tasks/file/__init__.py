"""Files of conversations, wherever a task can stand."""
