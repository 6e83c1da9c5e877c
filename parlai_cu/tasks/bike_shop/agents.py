"""
``-t bike_shop``: what the deployed assistant knows.
``-t bike_shop:update``: what it has to learn.
``-t bike_shop:kept``: what it knows and has to keep: all but what the update corrects.
"""

import copy
import os
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from parlai.core.opt import Opt
from parlai.core.teachers import DialogTeacher

from parlai_cu.tasks.bike_shop import old_skill, update
from parlai_cu.tasks.bike_shop.dialogues import Topic, build


class BikeShopTeacher(DialogTeacher):
    """Dialogues made in memory from the phrasings beside this file; nothing is written."""

    topics: Sequence[Topic] = ()
    examples: Dict[str, int] = {}

    def __init__(self, opt: Opt, shared: Optional[Dict[str, Any]] = None) -> None:
        opt = copy.deepcopy(opt)
        # nothing is read from there, but ParlAI keeps the counts of a streamed file beside it
        folder = os.path.join(opt["datapath"], "bike_shop", type(self).__name__)
        if "stream" in opt["datatype"]:
            os.makedirs(folder, exist_ok=True)
        opt["datafile"] = os.path.join(folder, opt["datatype"].split(":")[0])
        super().__init__(opt, shared)
        self.id = opt["task"]

    def setup_data(self, datafile: str) -> Iterator[Tuple[Dict[str, Any], bool]]:
        """
        Yield the exchanges, and whether each begins a dialogue.

        :param datafile: ends in the split: ``train``, ``valid`` or ``test``
        """
        split = os.path.basename(datafile)
        for dialogue in build(self.topics, old_skill.TALK, split, self.examples[split]):
            for number, (text, answer) in enumerate(dialogue):
                yield {"text": text, "labels": [answer]}, number == 0


class DefaultTeacher(BikeShopTeacher):
    """The old skill: sixteen topics, from opening hours to tyre pressure."""

    topics = old_skill.TOPICS
    examples = {"train": 1200, "valid": 150, "test": 150}


class UpdateTeacher(BikeShopTeacher):
    """The update: five topics about electric bikes, three old ones with new answers."""

    topics = update.TOPICS
    examples = {"train": 300, "valid": 60, "test": 60}


class KeptTeacher(BikeShopTeacher):
    """The old skill without the three topics whose answers the update replaces."""

    topics = tuple(topic for topic in old_skill.TOPICS if topic not in update.OUTDATED)
    examples = {"train": 1000, "valid": 150, "test": 150}
