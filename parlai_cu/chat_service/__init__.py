"""ParlAI's chat_service here: the manager, the agents and our world, and a config.yml to copy."""
