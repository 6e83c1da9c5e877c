"""What the live model makes of data: words that it does not know, what it cuts, what is strange."""

import tempfile
from collections.abc import Sequence

from parlai.core.opt import Opt

from parlai_cu.update.step_cache import StepCache
from parlai_cu.update.steps import data as task_data
from parlai_cu.update.steps.evaluation import EvaluatedModel
from parlai_cu.update.wording import Example

_SPLIT = "test"


class LiveModelView:
    """
    A model for :func:`parlai_cu.update.inspection.inspection.inspect`.

    :param opt: where data lies and which device
    :param model_file: of a ParlAI model
    """

    def __init__(self, opt: Opt, model_file: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parlai_cu-data-")
        cache = StepCache(self._folder.name)
        self._model = EvaluatedModel(opt, model_file, model_file, cache)
        self._known: dict[str, bool] = {}

    def unknown(self, text: str) -> tuple[int, int]:
        """How many tokens the model's dictionary does not know, of how many."""
        dictionary = self._model.agent.dict
        mark = getattr(dictionary, "_unk_token_idx", None)
        tokens = dictionary.txt2vec(text)
        return sum(token == mark for token in tokens), len(tokens)

    def is_cut(self, example: Example) -> bool:
        """Whether the model's limits cut the context or the answer."""
        agent = self._model.agent
        limits = (agent.text_truncate, agent.label_truncate)
        return any(
            0 < limit < len(agent.dict.txt2vec(text))
            for limit, text in zip(limits, (example.context, example.label))
        )

    def losses(self, examples: Sequence[Example]) -> Sequence[float]:
        """The loss of each answer, per token; 0 where the model has none."""
        plain = [Example(one.context, one.label) for one in examples]
        episodes = task_data.as_episodes(plain)
        data = task_data.write("data", {_SPLIT: episodes}, self._folder.name)
        measured = self._model.measure(data, _SPLIT, len(examples), replies=False)
        found = {
            one.example.key: one.replied.loss / max(1.0, one.replied.tokens) for one in measured
        }
        return [found.get(one.key, 0.0) for one in plain]
