"""What of an update ParlAI does: reading tasks, measuring models, training."""
