"""Which old examples to keep for replay."""

import random
from collections.abc import Hashable, Sequence


def stratified_sample(
    strata: Sequence[Hashable], size: int, seed: int, weights: Sequence[int] = ()
) -> list[int]:
    """
    A fixed sample in which every stratum has its share.

    Shares are proportional, rounded so that none with a share of half an item or more is left
    out as long as there is room.

    :param strata: the stratum of each item
    :param size: how many items to take at most, or what their weights may sum up to
    :param seed: the same gives the same sample
    :param weights: how much each item counts towards ``size`` (default: 1)
    :return: indices of the items taken, in order
    """
    weights = list(weights) or [1] * len(strata)
    groups: dict[Hashable, list[int]] = {}
    for i, stratum in enumerate(strata):
        groups.setdefault(stratum, []).append(i)
    rng = random.Random(seed)
    for members in groups.values():
        rng.shuffle(members)
    # draw from the group that is furthest below its share until the sample is full
    everything = sum(weights)
    shares = {s: sum(weights[i] for i in members) / everything for s, members in groups.items()}
    taken: list[int] = []
    held = {stratum: 0 for stratum in groups}
    total = 0
    while groups:
        stratum = max(groups, key=lambda s: shares[s] * (total + 1) - held[s])
        item = groups[stratum].pop()
        if not groups[stratum]:
            del groups[stratum]
        if taken and total + weights[item] > size:
            break
        taken.append(item)
        total += weights[item]
        held[stratum] += weights[item]
        if total >= size:
            break
    return sorted(taken)
