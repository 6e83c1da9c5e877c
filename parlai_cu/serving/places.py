"""
Whose place a newcomer gets when all are taken.

A place is given up by who needs it least: conversations that were lost; those by HTTP in which
nothing was ever said, then those that have been silent; then, of an address that holds more places
than the newcomer's would, one that was never used, or that has been silent for longest. Nobody
drives out others of an address that holds no more than one's own.
"""

from collections import Counter
from collections.abc import Iterable

from parlai_cu.serving.session import ChatSession

# s of silence after which a conversation by HTTP, and one with a connection, may give way; and
# what one is given to say a first word
HTTP_SILENT, SILENT, FIRST = 60.0, 30.0, 2.0


def least_needed(
    held: Iterable[ChatSession], address: str, by_http: bool, now: float
) -> ChatSession | None:
    """
    The conversation that gives way; None where the newcomer has to wait.

    :param held: conversations that hold all the places
    :param address: the newcomer's
    :param by_http: whether the newcomer has no connection
    :param now: seconds of the conversations' clock
    """
    held = list(held)
    lost = [one for one in held if one.lost_at is not None]
    if lost:
        return min(lost, key=lambda one: one.lost_at or 0.0)
    of_address = Counter(one.address for one in held)
    mine = of_address[address]

    def crowds(one: ChatSession) -> bool:
        return one.address != address and of_address[one.address] > mine + 1

    def silent(one: ChatSession) -> float:
        return now - one.last_heard

    # a visitor with a connection goes before those who only hold a place by HTTP
    by_http_too = [one for one in held if one.by_http and (crowds(one) or not by_http)]
    crowding = [one for one in held if not one.by_http and crowds(one)]
    ranks = (
        [one for one in by_http_too if not one.turn],
        [one for one in by_http_too if silent(one) > HTTP_SILENT],
        [one for one in crowding if not one.turn and silent(one) > FIRST],
        [one for one in by_http_too if crowds(one)],
        [one for one in crowding if silent(one) > SILENT],
    )
    for rank in ranks:
        if rank:
            return max(rank, key=lambda one: (of_address[one.address], silent(one)))
    return None


def lost_beyond(held: Iterable[ChatSession], most: float) -> list[ChatSession]:
    """
    Lost conversations of addresses that have too many of them, the oldest of each.

    :param held: all conversations
    :param most: how many conversations of one address are left
    """
    lost: dict[str, list[ChatSession]] = {}
    for one in held:
        if one.lost_at is not None:
            lost.setdefault(one.address, []).append(one)
    return [
        one
        for each in lost.values()
        if len(each) > most
        for one in sorted(each, key=lambda each: each.lost_at or 0.0)[: len(each) - int(most)]
    ]
