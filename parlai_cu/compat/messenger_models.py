"""
ParlAI's messenger service ignores what config.yml says of a model.

Seen with ParlAI 1.7.2: what stands under ``models:`` counts only where the model's ``.opt`` says
nothing (``override:`` is looked for as ``overrides:``, and kept unused), and a model that was
trained with ``--skip-generation true`` replies nothing at all.
Goes when: never; ParlAI is archived.
"""

import functools
from typing import Any


def needed() -> str | None:
    """Why the repair is active."""
    return "ParlAI's messenger service ignores the settings of its models"


def after(module: Any) -> None:
    """Make its models as ``parlai serve`` does (messenger_manager)."""
    stock = module.create_agent

    @functools.wraps(stock)
    def create_agent(opt: Any, *args: Any, **more: Any) -> Any:
        from parlai_cu.chat_service.yaml_settings import model_options

        name = str(opt.get("model_file") or opt.get("model"))
        return stock(model_options(name, opt), *args, **more)

    module.create_agent = create_agent
