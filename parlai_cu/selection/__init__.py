"""
Which parameters of a model learn: naming them, freezing the rest, proving it.

Knows torch, not ParlAI: every function takes a ``torch.nn.Module`` and plain arguments.
"""
