"""
Knowledge distillation: what a student is made of, learns from, and is measured against.

Knows nothing of ParlAI: tensors in, tensors out.
"""
