"""
Keeping old skill: replay, penalties, and the measures that show whether it was kept.

Knows nothing of ParlAI: tensors and numbers in, tensors and numbers out.
"""
