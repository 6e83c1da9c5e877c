"""
A classifier that meets classes it does not have is given them before it learns.

A new class begins as the mean of the others, so that it is never the likeliest: what the model
chose so far it chooses as before.
"""

import os

import torch
from parlai.core.opt import Opt
from parlai.core.torch_classifier_agent import TorchClassifierAgent

from parlai_cu import checkpoints
from parlai_cu.agents import added_classes, kinds, model_files
from parlai_cu.data.base import SPLITS
from parlai_cu.update.step_cache import Step, content_of
from parlai_cu.update.steps import vocab_extension
from parlai_cu.update.steps.data import Data
from parlai_cu.update.steps.evaluation import EvaluatedModel
from parlai_cu.update.steps.reporting import say

# more than so many at once are no classes, but other data
_MOST = 50
# the content of the wider model; None of one that cannot be widened
CLASSES: Step[str | None] = Step("classes", str | None)


def with_classes(model: EvaluatedModel, update: Data) -> EvaluatedModel:
    """The same model with the classes that an update has more."""
    opt = Opt.load(f"{model.model_file}.opt")
    known = kinds.class_names(opt)
    labels = [e.label for split in SPLITS for e in update.examples[split]]
    added = sorted(set(labels) - set(known))
    if not known or not added or len(added) > _MOST:
        return model
    inputs = {"model": model.content, "classes": added}
    path = os.path.join(model.cache.place(CLASSES, inputs), "model")

    def widen(folder: str) -> str | None:
        states = checkpoints.load(model.model_file)
        wider = vocab_extension.with_rows(
            states.get("model") or {}, len(known), len(added), _mean_row
        )
        if wider is None:
            return None
        wanted = added_classes.widened(opt, Opt(add_classes=added), TorchClassifierAgent)
        for name in ("classes", "classes_from_file", "class_weights"):
            wanted.get("override", {}).pop(name, None)
        model_files.write_like(model.model_file, path, wanted, {**states, "model": wider})
        whole = vocab_extension.loads(model.opt, path) is not None
        return content_of(path, f"{path}.opt") if whole else None

    content = model.cache.get(CLASSES, inputs, widen)
    if content is None:
        return model  # what reads a new label says how it can be learnt
    say(f"classes that the model does not have are added to it: {', '.join(added)}")
    return EvaluatedModel(model.opt, path, content, model.cache, model.kb)


def _mean_row(rows: torch.Tensor) -> torch.Tensor:
    return rows.float().mean(dim=0, keepdim=True).to(rows.dtype)
