"""What ParlAI's chat_service loads: our world, and a config.yml to copy."""
