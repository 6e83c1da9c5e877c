"""
``parlai serve``: a chat service for many users, from one of ParlAI's chat_service configurations.

::

    parlai serve --config-path config.yml --port 35496

Websocket, HTTP and a browser page; docs/serving.md has the messages, the limits and their defaults.
"""

from typing import Any

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu.errors import UsageError


@register_script("serve")
class Serve(ParlaiScript):
    """Serve until SIGTERM or Ctrl-C."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """ParlAI's flags for websockets, and ours."""
        from parlai_cu.chat_service import flags

        return flags.service_parser()

    def run(self) -> Any:
        """
        Read the configuration and serve.

        :raises UsageError: when the configuration is missing or not one
        """
        from parlai_cu.chat_service.config import read

        if not self.opt.get("config_path"):
            raise UsageError("parlai serve needs --config-path CONFIG.yml (ParlAI's chat_service)")
        opt = read(self.opt, self.opt["config_path"])
        # before anything heavy is imported: nobody is to wonder whether it starts
        names = ", ".join(opt.get("models") or {}) or "no model"
        print(f"Starting: {self.opt['config_path']} ({names})", flush=True)
        from parlai.chat_service.services.websocket.websocket_manager import WebsocketManager

        manager = WebsocketManager(opt)
        try:
            manager.start_task()
        finally:
            manager.shutdown()
