"""``zoo:telecom/base``, ``zoo:telecom/intent``, ``zoo:telecom/retriever``."""
