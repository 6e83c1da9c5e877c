"""Facts outside the weights: where they are kept, when they are asked for, what becomes of them."""
