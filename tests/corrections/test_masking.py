"""Personal data is masked by the stated rule."""

import pytest

from parlai_cu.corrections.masking import mask_reply, mask_user


@pytest.mark.parametrize(
    "text, masked",
    [
        ("write to jo.doe+x@mail.example.org please", "write to <email> please"),
        ("my card is 4111 1111 1111 1111, ok?", "my card is <card>, ok?"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN <iban>"),
        ("call +44 (0)20 7946 0958 tonight", "call <phone> tonight"),
        ("call 555-0173, or not", "call <phone>, or not"),
        ("I am at 192.168.10.4", "I am at <ip>"),
        ("customer 123456", "customer <number>"),
        ("It was 2026-11-24 and cost 12.50 for 5 lines", None),
        ("between 10 and 12 am, 24.12.2026", None),
        ("order 1234", None),
    ],
)
def test_what_users_say(text: str, masked: str) -> None:
    """What a pattern finds is masked; dates, prices and short numbers stay."""
    assert mask_user(text)[0] == (text if masked is None else masked)


def test_a_card_number_passes_luhns_check() -> None:
    """Another long number is no card."""
    assert mask_user("4111 1111 1111 1112")[0] != "<card>"


def test_the_services_own_number_stays() -> None:
    """Unless the user said it; cards and addresses go whoever says them."""
    _, seen = mask_user("my number is 555-0199")
    reply = "I call 555-0199; ours is 555-0173. Mail a@b.example"
    assert mask_reply(reply, seen) == "I call <phone>; ours is 555-0173. Mail <email>"
