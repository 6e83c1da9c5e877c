"""parlai_cu/versions/votes.py: what one user's thumbs can do to a canary, and what many can."""

from parlai_cu.versions import canary
from parlai_cu.versions.votes import Votes


def guard(live: Votes, trial: Votes) -> canary.Guard:
    """A guard with these votes."""
    made = canary.Guard()
    made.counts[canary.LIVE][canary.DISLIKED] = live
    made.counts[canary.CANARY][canary.DISLIKED] = trial
    return made


def happy(voters: int) -> Votes:
    """Many who were content."""
    votes = Votes()
    for number in range(voters):
        votes.vote(f"address {number}", "c 1", False)
    return votes


def test_one_vote_a_turn() -> None:
    """The last counts, whatever came before it."""
    votes = Votes()
    for bad in (True, True, False, True):
        votes.vote("a", "c 1", bad)
    assert (votes.count, votes.total) == (1, 1)
    votes.vote("a", "c 1", False)
    assert (votes.count, votes.total) == (0, 1)


def test_one_voice_a_voter() -> None:
    """However many replies he rates, of however many conversations."""
    votes = Votes()
    for number in range(500):
        votes.vote("a", f"c{number} 1", True)
    assert (votes.count, votes.total) == (1, 1)
    assert guard(happy(1000), votes).breach() is None


def test_many_are_heard() -> None:
    """A canary that many dislike is taken back."""
    votes = Votes()
    for number in range(60):
        votes.vote(f"address {number}", "c 1", True)
    assert "rated down" in str(guard(happy(60), votes).breach())
