"""
What we add to ParlAI's own commands, loops and loaders; repairs of it are in parlai_cu.compat.

Each file is named in :mod:`parlai_cu.plugin`, and says which of ParlAI's modules it stands beside.
"""
