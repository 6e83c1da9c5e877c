"""What others wrote, on a terminal: one line, and nothing that a terminal obeys."""


def plain(text: object) -> str:
    """
    A text for a terminal: what is no visible character is written as an escape (``\\n``).

    Line ends would forge lines of a listing, escape sequences change what stands above, and marks
    of direction turn around what is read.

    :param text: whatever somebody else has written
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text)
    )
