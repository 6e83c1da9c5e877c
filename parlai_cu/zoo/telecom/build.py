"""Puts the shipped telecom models into ParlAI's data path; nothing is downloaded."""

from parlai_cu.zoo.shipped import install


def download(datapath: str) -> None:
    """
    What ParlAI calls before it opens ``zoo:telecom/base`` and its like.

    :param datapath: ParlAI's; the models go to ``models/telecom`` in it
    """
    install("telecom", datapath)
