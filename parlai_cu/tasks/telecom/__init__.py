"""``-t bike_shop``: the chat assistant of a bicycle shop, and an update it has to learn."""
