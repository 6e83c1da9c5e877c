"""
One training step that watches the base's own.

The base computes its loss as it always does. Beside it :class:`~.step.TrainingStep` observes the
scores at the model and adds what else was asked for, a list of :class:`~.result.LossTerm`, to
the gradients.
"""
