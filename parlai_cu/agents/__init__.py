"""The agents a user names with ``-m``. They import ParlAI; what they are built from does not."""

from parlai_cu.errors import require_parlai

require_parlai()
