"""
Ratings as votes: one a turn, of which the last counts, and one voice for each voter.

Whoever rates one reply often, many replies of a conversation, or of many conversations from one
address, is one voter, and is unhappy for as long as one of these votes is.
"""

from parlai_cu.versions.canary import Count

# turns of a voter, and voters, whose votes are remembered
_TURNS, _VOTERS = 200, 20_000


class Votes(Count):
    """In how many voters' eyes a reply was bad, of how many who voted."""

    def __init__(self) -> None:
        super().__init__()
        # voter -> turn -> whether it was bad
        self._votes: dict[str, dict[str, bool]] = {}

    def vote(self, voter: str, turn: str, bad: bool) -> None:
        """
        Take a vote.

        :param voter: whose it is, an address or a conversation
        :param turn: names the reply
        :param bad: whether it was thumbs down
        """
        votes = self._votes.get(voter)
        if votes is None:
            if len(self._votes) >= _VOTERS:
                del self._votes[next(iter(self._votes))]
            votes = self._votes[voter] = {}
            self.total += 1
        before = any(votes.values())
        votes.pop(turn, None)
        votes[turn] = bad
        if len(votes) > _TURNS:
            del votes[next(iter(votes))]
        self.count += int(any(votes.values())) - int(before)
