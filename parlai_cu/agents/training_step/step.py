"""The step: watches the base's computation, and adds terms to what it learns from."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from parlai_cu.agents.training_step.gold_share import GoldShare
from parlai_cu.agents.training_step.observation import (
    own_result,
    result_of,
    scores_in,
    with_scores,
)
from parlai_cu.agents.training_step.result import (
    PARAMETERS,
    SCORES,
    LossTerm,
    StepResult,
)
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Batch, ModelAgent


class TrainingStep:
    """
    One batch of an agent in training.

    Terms join the loss where the agent hands it to ``backward``; where it calls
    ``loss.backward()`` itself, the gradient of its scores; and else the gradients before the
    optimizer's step.

    :param agent: in training
    :param batch: of this step, with observations
    :param terms: what joins the base's loss
    :param gold: FloatTensor[bsz], how much the gold labels of each example count; None where
        they count as the base has it
    """

    def __init__(
        self, agent: ModelAgent, batch: Batch, terms: Sequence[LossTerm], gold: torch.Tensor | None
    ) -> None:
        self.agent, self.batch = agent, batch
        # what is not in the gradients yet
        self.pending = list(terms)
        self.gold = None if gold is None else GoldShare(gold)
        self.result: StepResult | None = None
        # no parameter that learns had a part in the batch's loss
        self.reaches_nothing = False
        # whether what happens is our own doing, and not to be watched
        self._paused = False

    # -- watching ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Observe the base's forward pass."""
        with contextlib.ExitStack() as stack:
            if self.gold is not None or any(t.needs != PARAMETERS for t in self.pending):
                hook = self.agent.model.register_forward_hook(self._see_model, with_kwargs=True)
                stack.callback(hook.remove)
            criterion = getattr(self.agent, "criterion", None)
            if self.gold is not None and isinstance(criterion, torch.nn.Module):
                stack.callback(criterion.register_forward_hook(self._see_criterion).remove)
            for term in self.pending:
                term.start()
                stack.callback(term.stop)
            yield

    def start_anew(self) -> None:
        """What was seen so far was not the base's forward pass."""
        self.result = None
        for term in self.pending:
            term.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within, nothing is watched."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def _see_model(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: object
    ) -> Any:
        if self._paused or not torch.is_grad_enabled():
            return None
        scores = scores_in(self.agent, self.batch, (*args, *kwargs.values()), output)
        if scores is None:
            return None
        given = self._see(scores, self.batch.label_vec if scores.dim() == 3 else None, None)
        return None if given is scores else with_scores(output, given)

    def _see_criterion(self, criterion: object, args: tuple[Any, ...], losses: object) -> Any:
        if self._paused or self.gold is None:
            return None
        return self.gold.at_criterion(criterion, args, losses)

    def see_ranking(self, scores: torch.Tensor, candidates: object) -> torch.Tensor:
        """
        Observe a ranker's scores.

        :param scores: FloatTensor[bsz, candidates], as the base computed them
        :param candidates: LongTensor[candidates, length] or [bsz, candidates, length]
        :return: FloatTensor[bsz, candidates], for the base to go on with
        """
        if self._paused or not torch.is_grad_enabled() or len(scores) != self.batch.batchsize:
            return scores
        return self._see(scores, None, candidates)

    def _see(self, scores: torch.Tensor, labels: Any, candidates: object) -> torch.Tensor:
        if self.result is None:
            self.result = result_of(self.agent, self.batch, scores, candidates)
            if scores.requires_grad and any(t.needs == SCORES for t in self.pending):
                scores.register_hook(  # type: ignore[no-untyped-call]
                    lambda grad: self._at_scores(grad, scores, candidates)
                )
        return scores if self.gold is None else self.gold.at_scores(scores, labels)

    # -- adding ------------------------------------------------------------------------------

    def add_to(self, loss: torch.Tensor) -> torch.Tensor:
        """
        The loss with all terms that are still missing.

        :param loss: scalar, the base's
        :return: scalar; ``reaches_nothing`` is set where no parameter that learns is behind it
        :raises UsageError: when a term has no parameter that learns behind it
        """
        totals = [self._total(term) for term in self.pending]
        of_data = [t for t, term in zip(totals, self.pending) if term.needs != PARAMETERS]
        if not loss.requires_grad and not any(t.requires_grad for t in of_data):
            self.reaches_nothing = True
            self.pending = []
            return loss
        for total, term in zip(totals, self.pending):
            self._check_reaches(total, term)
            loss = loss + total.to(loss.device)
        self.pending = []
        return loss

    def _at_scores(
        self, grad: torch.Tensor, scores: torch.Tensor, candidates: object
    ) -> torch.Tensor | None:
        """The gradient of the scores where the base calls ``loss.backward()`` itself."""
        terms = [term for term in self.pending if term.needs == SCORES]
        if not terms:
            return None
        self.pending = [term for term in self.pending if term.needs != SCORES]
        with torch.enable_grad(), self.paused():
            leaf = scores.detach().requires_grad_(True)
            result = result_of(self.agent, self.batch, leaf, candidates)
            assert self.result is not None
            result = dataclasses.replace(result, metrics=self.result.metrics)
            totals = [term.weight * term(result, self.batch).sum() for term in terms]
            wanted = [total for total in totals if total.requires_grad]
            if not wanted:
                return None
            (more,) = torch.autograd.grad(torch.stack(wanted).sum(), leaf)
        return grad + more.to(grad) * self._loss_scale()

    def settle(self) -> None:
        """
        Add the gradients of terms that are still missing, before the optimizer's step.

        :raises UsageError: when a term has no parameter that learns behind it
        """
        if not self.pending or self.reaches_nothing:
            return
        terms, self.pending = self.pending, []
        if any(term.needs != PARAMETERS for term in terms):
            for term in terms:
                term.start()
            with self.paused():
                self.result = own_result(self.agent, self.batch)
        totals = [self._total(term) for term in terms]
        for total, term in zip(totals, terms):
            self._check_reaches(total, term)
        learning = [total for total in totals if total.requires_grad]
        if learning:
            torch.autograd.backward(torch.stack(learning).sum() * self._loss_scale())

    def _total(self, term: LossTerm) -> torch.Tensor:
        with self.paused():
            if self.result is None:
                if term.needs == PARAMETERS:
                    mask = torch.ones(self.batch.batchsize, dtype=torch.bool)
                    self.result = StepResult(mask)
                else:
                    self.result = own_result(self.agent, self.batch)
            elif self.result.scores is None and term.needs != PARAMETERS:
                metrics = self.result.metrics
                self.result = own_result(self.agent, self.batch)
                self.result.metrics.update(metrics)
            rows = term(self.result, self.batch)
        # a term without rows is 0, and needs no gradient
        return term.weight * rows.sum()

    def _check_reaches(self, total: torch.Tensor, term: LossTerm) -> None:
        if total.requires_grad or total.item() == 0.0:
            return
        raise UsageError(
            f"{term.name} was asked for, and no parameter that learns has a part in it: let some "
            "learn on which the scores depend (--tune), or leave it away"
        )

    def _loss_scale(self) -> float:
        if not getattr(self.agent, "fp16", False):
            return 1.0
        return float(getattr(self.agent.optimizer, "loss_scale", 1.0))
