"""Ready-made models: what ParlAI asks for when a model file is ``zoo:NAME/model``."""
