"""
Agents as other people write them, one habit each: what ParlAI's own agents do not do.

Named as ``tests.agents_of_others.habits:ClassName``. All are small transformers, so that the tiny
options of ``tests/conftest.py`` fit them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from parlai.agents.transformer.modules import TransformerEncoder, TransformerGeneratorModel
from parlai.agents.transformer.transformer import TransformerGeneratorAgent
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.torch_agent import Output, TorchAgent
from torch import nn

PLACE = "tests.agents_of_others.habits"
POSITIONS = 64


class _Generator(TransformerGeneratorAgent):
    """A generator with a model of its own."""

    model_class: type = TransformerGeneratorModel

    def build_model(self, states: Any = None) -> Any:
        """The model."""
        return self.model_class(self.opt, self.dict)


# -- output layers that do not work position by position -------------------------------------


class PositionBiasModel(TransformerGeneratorModel):
    """Its output layer has a bias for each position."""

    def __init__(self, opt: Opt, dictionary: Any) -> None:
        super().__init__(opt, dictionary)
        self.by_position = nn.Parameter(torch.randn(POSITIONS, len(dictionary)))

    def output(self, tensor: torch.Tensor) -> torch.Tensor:
        """Logits of [bsz, length, width]."""
        return super().output(tensor) + self.by_position[: tensor.size(1)]


class PositionBias(_Generator):
    """A bias by position in the output layer."""

    model_class = PositionBiasModel


class PositionMeanModel(TransformerGeneratorModel):
    """Its output layer sees each position's distance from the mean over all."""

    def output(self, tensor: torch.Tensor) -> torch.Tensor:
        """Logits of [bsz, length, width]."""
        return super().output(2 * tensor - tensor.mean(dim=1, keepdim=True))


class PositionMean(_Generator):
    """A mean over positions in the output layer."""

    model_class = PositionMeanModel


class CopyingModel(TransformerGeneratorModel):
    """Its output layer adds to the logits of the tokens that the source holds."""

    def __init__(self, opt: Opt, dictionary: Any) -> None:
        super().__init__(opt, dictionary)
        self.copying = nn.Parameter(torch.ones(1))

    def output(self, tensor: torch.Tensor) -> torch.Tensor:
        """Logits of [bsz, length, width]."""
        logits = super().output(tensor)
        if tensor.size(0) != self.source.size(0) and not self.training:
            return logits  # of a beam
        held = torch.zeros(self.source.size(0), logits.size(-1)).scatter(1, self.source, 1.0)
        return logits + self.copying * held.unsqueeze(1)


class Copying(_Generator):
    """An output layer that copies from the source."""

    model_class = CopyingModel

    def _model_input(self, batch: Any) -> Any:
        self.model.source = batch.text_vec
        return super()._model_input(batch)


class ChangingEncoder(TransformerEncoder):
    """What it gives for a row depends on the batch around it."""

    factor = 1.0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the stock one, scaled."""
        hidden, *rest = super().forward(*args, **kwargs)
        return (hidden * self.factor, *rest)


class ChangingModel(TransformerGeneratorModel):
    """With such an encoder."""

    @classmethod
    def build_encoder(cls, *args: Any, **kwargs: Any) -> Any:
        """The encoder."""
        encoder = super().build_encoder(*args, **kwargs)
        encoder.__class__ = ChangingEncoder
        return encoder


class BatchInEncoder(_Generator):
    """The longest label of the batch has a say in the encoder."""

    model_class = ChangingModel

    def _model_input(self, batch: Any) -> Any:
        if batch.label_vec is not None:
            longest = batch.label_vec.ne(self.NULL_IDX).sum(dim=1).max().item()
            self.model.encoder.factor = 0.5 * longest
        return super()._model_input(batch)


# -- losses of their own ---------------------------------------------------------------------


class OwnCrossEntropy(TransformerGeneratorAgent):
    """Computes its loss without ``self.criterion``."""

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """The mean over tokens."""
        output = self.model(*self._model_input(batch), ys=batch.label_vec)
        scores = output[0]
        loss = F.cross_entropy(
            scores.flatten(0, 1), batch.label_vec.flatten(), ignore_index=self.NULL_IDX
        )
        self.record_local_metric("loss", AverageMetric.many([loss.item()] * len(batch.label_vec)))
        return (loss, output) if return_output else loss


class OwnBackward(TransformerGeneratorAgent):
    """Calls ``loss.backward()`` and the optimizer itself."""

    def train_step(self, batch: Any) -> Any:
        """One step."""
        self.model.train()
        self.optimizer.zero_grad()
        loss = self.compute_loss(batch)
        loss.backward()
        self.optimizer.step()
        self._number_training_updates += 1


class OwnBackwardThenUpdate(TransformerGeneratorAgent):
    """Calls ``loss.backward()`` itself and leaves the rest to ParlAI."""

    def train_step(self, batch: Any) -> Any:
        """One step."""
        self.model.train()
        self.zero_grad()
        self.compute_loss(batch).backward()
        self.update_params()


class AuxiliaryModel(TransformerGeneratorModel):
    """With a second head, on the mean of what the encoder gives."""

    def __init__(self, opt: Opt, dictionary: Any) -> None:
        super().__init__(opt, dictionary)
        self.auxiliary = nn.Linear(opt["embedding_size"], 2)


class AuxiliaryHead(_Generator):
    """Its loss has a second part: is the text of an even number of tokens?"""

    model_class = AuxiliaryModel

    def auxiliary_loss(self, batch: Any, encoded: torch.Tensor) -> torch.Tensor:
        """The second part."""
        even = batch.text_vec.ne(self.NULL_IDX).sum(dim=1) % 2
        return F.cross_entropy(self.model.auxiliary(encoded.mean(dim=1)), even)

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """Both parts."""
        loss, output = super().compute_loss(batch, return_output=True)
        second = self.auxiliary_loss(batch, output[2][0])
        self.global_metrics.add("auxiliary", AverageMetric(second.item()))
        loss = loss + second
        return (loss, output) if return_output else loss


class Unlikelihood(TransformerGeneratorAgent):
    """Labels of texts that begin with a marked word are unlearnt."""

    MARKED = "close"

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """Likelihood of the others, unlikelihood of these."""
        output = self.model(*self._model_input(batch), ys=batch.label_vec)
        log_probs = output[0].log_softmax(dim=-1)
        gold = log_probs.gather(-1, batch.label_vec.unsqueeze(-1)).squeeze(-1)
        bad = batch.text_vec.eq(self.dict[self.MARKED]).any(dim=1, keepdim=True)
        unlikely = -torch.log((1 - gold.exp()).clamp_min(1e-6))
        losses = torch.where(bad, unlikely, -gold)
        notnull = batch.label_vec.ne(self.NULL_IDX)
        loss = (losses * notnull).sum() / notnull.sum()
        return (loss, output) if return_output else loss


class WeightedCriterion(nn.Module):
    """Takes a weight for each row, and gives several things."""

    def forward(
        self, scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted losses of rows, and the losses."""
        losses = F.cross_entropy(scores, targets, reduction="none", ignore_index=0)
        return losses * weights, losses


class ThreeArguments(TransformerGeneratorAgent):
    """A criterion of three arguments."""

    def build_criterion(self) -> Any:
        """With weights of rows."""
        return WeightedCriterion()

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """The later a token the less it counts."""
        output = self.model(*self._model_input(batch), ys=batch.label_vec)
        targets = batch.label_vec
        weights = 1.0 / (1 + torch.arange(targets.size(1)).float()).repeat(len(targets))
        weighted, _ = self.criterion(output[0].flatten(0, 1), targets.flatten(), weights)
        loss = weighted.sum() / targets.ne(self.NULL_IDX).sum()
        return (loss, output) if return_output else loss


class PartOfRows(TransformerGeneratorAgent):
    """Its criterion is given the first half of the batch's rows only."""

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """Of some examples."""
        output = self.model(*self._model_input(batch), ys=batch.label_vec)
        some = torch.arange(len(batch.label_vec)) < max(len(batch.label_vec) // 2, 1)
        targets = batch.label_vec[some]
        losses = self.criterion(output[0][some].flatten(0, 1), targets.flatten())
        loss = losses.sum() / targets.ne(self.NULL_IDX).sum()
        return (loss, output) if return_output else loss


# -- tensors beside the model, layers that only look linear ----------------------------------


class SideModule(TransformerGeneratorAgent):
    """A second module beside ``self.model``, made where the optimizer is made."""

    def init_optim(self, params: Any, *args: Any, **kwargs: Any) -> bool:
        """Train it as well."""
        self.side = nn.Linear(1, 1)
        if getattr(self, "side_state", None):
            self.side.load_state_dict(self.side_state)
        return super().init_optim([*params, *self.side.parameters()], *args, **kwargs)

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """The stock loss, scaled by what the module says."""
        loss, output = super().compute_loss(batch, return_output=True)
        if hasattr(self, "side"):
            loss = loss * self.side(torch.ones(1)).squeeze().exp().clamp(0.1, 10)
        return (loss, output) if return_output else loss

    def state_dict(self) -> dict[str, Any]:
        """With the module."""
        states = super().state_dict()
        if hasattr(self, "side"):
            states["side"] = self.side.state_dict()
        return states

    def load(self, path: str) -> dict[str, Any]:
        """With the module."""
        states = super().load(path)
        self.side_state = states.get("side")
        return states


class SideParameter(TransformerGeneratorAgent):
    """A parameter of the agent's own, made before the optimizer, in a list."""

    def build_model(self) -> Any:
        """The model, and the parameter."""
        self.scales = [nn.Parameter(torch.zeros(1))]
        return super().build_model()

    def init_optim(self, params: Any, *args: Any, **kwargs: Any) -> bool:
        """Train it as well."""
        return super().init_optim([*params, *self.scales], *args, **kwargs)

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """The stock loss, scaled."""
        loss, output = super().compute_loss(batch, return_output=True)
        loss = loss * self.scales[0].exp().clamp(0.1, 10).squeeze()
        return (loss, output) if return_output else loss


class RunningStatistic(TransformerGeneratorAgent):
    """A tensor in its states that each step writes, outside of any optimizer."""

    def build_model(self) -> Any:
        """The model, and the tensor."""
        self.seen = torch.zeros(1)
        return super().build_model()

    def train_step(self, batch: Any) -> Any:
        """A step, and one more example seen."""
        self.seen += batch.batchsize
        return super().train_step(batch)

    def state_dict(self) -> dict[str, Any]:
        """With the tensor."""
        return {**super().state_dict(), "seen": self.seen}


class MaskedLinear(nn.Linear):
    """Half of its weights count for nothing."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As a linear layer with the other half."""
        mask = (torch.arange(self.weight.numel()) % 2).view_as(self.weight)
        return F.linear(input, self.weight * mask, self.bias)


class MaskedModel(TransformerGeneratorModel):
    """The decoder's first feed-forward layers are masked."""

    def __init__(self, opt: Opt, dictionary: Any) -> None:
        super().__init__(opt, dictionary)
        for layer in self.decoder.layers:
            stock = layer.ffn.lin1
            layer.ffn.lin1 = MaskedLinear(stock.in_features, stock.out_features)


class Masked(_Generator):
    """Layers that look linear and are not."""

    model_class = MaskedModel


class FunctionalModel(TransformerGeneratorModel):
    """Uses the weight of a linear layer without calling the layer, in its output."""

    def __init__(self, opt: Opt, dictionary: Any) -> None:
        super().__init__(opt, dictionary)
        self.mixer = nn.Linear(opt["embedding_size"], opt["embedding_size"])

    def output(self, tensor: torch.Tensor) -> torch.Tensor:
        """Logits of [bsz, length, width]."""
        mixed = F.linear(self.mixer(tensor), self.mixer.weight.t())
        return super().output(tensor + 0.5 * mixed)


class Functional(_Generator):
    """A linear layer's weight is used by a function beside the layer."""

    model_class = FunctionalModel


# -- other kinds -----------------------------------------------------------------------------


class TwoHeadsModel(TransformerGeneratorModel):
    """A second output layer."""

    def __init__(self, opt: Opt, dictionary: Any) -> None:
        super().__init__(opt, dictionary)
        self.second = nn.Linear(opt["embedding_size"], 1)


class SomeBatchesOnly(_Generator):
    """Its second head learns from marked batches only, the rest from all."""

    model_class = TwoHeadsModel
    MARKED = "door"

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """Of the second head where the mark is, else the stock one."""
        loss, output = super().compute_loss(batch, return_output=True)
        if batch.text_vec.eq(self.dict[self.MARKED]).any():
            loss = loss + self.model.second(output[2][0]).pow(2).mean()
        return (loss, output) if return_output else loss


class ClassifierModel(TransformerGeneratorModel):
    """A generator's encoder and decoder below a classifying head."""

    def __init__(self, opt: Opt, dictionary: Any, classes: int) -> None:
        super().__init__(opt, dictionary)
        self.classifier_head = nn.Linear(opt["embedding_size"], classes)

    def forward(self, *xs: Any, **kwargs: Any) -> Any:
        """Scores of classes, [bsz, classes]."""
        states = self.encoder(*xs)
        start = torch.full((len(xs[0]), 1), 1)
        latent, _ = self.decoder(start, states)
        return self.classifier_head(latent.squeeze(1))


class ClassifierOnGenerator(TransformerGeneratorAgent):
    """A classifier that inherits from a generator."""

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """The generator's, and the classes."""
        super().add_cmdline_args(parser, partial_opt)
        parser.add_argument("--classes", type=str, nargs="*", default=None)
        return parser

    def __init__(self, opt: Opt, shared: Any = None) -> None:
        self.class_list = list(opt["classes"])
        self.class_dict = {name: i for i, name in enumerate(self.class_list)}
        super().__init__(opt, shared)

    def build_model(self, states: Any = None) -> Any:
        """The model."""
        return ClassifierModel(self.opt, self.dict, len(self.class_list))

    def build_criterion(self) -> Any:
        """One loss an example."""
        return nn.CrossEntropyLoss(reduction="none")

    def score(self, batch: Any) -> torch.Tensor:
        """Scores of classes."""
        return self.model(*self._model_input(batch))

    def _targets(self, batch: Any) -> torch.Tensor:
        return torch.tensor([self.class_dict[label] for label in batch.labels])

    def train_step(self, batch: Any) -> Any:
        """One step."""
        self.model.train()
        self.zero_grad()
        scores = self.score(batch)
        loss = self.criterion(scores, self._targets(batch))
        self.record_local_metric("loss", AverageMetric.many(loss))
        self.backward(loss.mean())
        self.update_params()
        return Output([self.class_list[i] for i in scores.argmax(dim=1)])

    def eval_step(self, batch: Any) -> Any:
        """The most probable class of each example."""
        self.model.eval()
        scores = self.score(batch)
        if batch.labels is not None:
            loss = self.criterion(scores, self._targets(batch))
            self.record_local_metric("loss", AverageMetric.many(loss))
        return Output([self.class_list[i] for i in scores.argmax(dim=1)])


class EchoModel(nn.Module):
    """Gives the text back as a mean of embeddings."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(size, width)
        self.layer = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """FloatTensor[bsz, width]."""
        return self.layer(self.embeddings(tokens).mean(dim=1))


class NoKind(TorchAgent):
    """Neither a generator nor a ranker nor a classifier: text and label are to be near."""

    def __init__(self, opt: Opt, shared: Any = None) -> None:
        super().__init__(opt, shared)
        if shared:
            return
        self.model = self.build_model()
        self.criterion = nn.MSELoss()
        start, finetune = self._get_init_model(opt, shared)
        states = self.load(start) if start else {}
        if self._should_initialize_optimizer():
            self.init_optim(self.model.parameters(), states.get("optimizer"), None, finetune)
            self.build_lr_scheduler(states, hard_reset=finetune)

    def build_model(self) -> nn.Module:
        """The model."""
        return EchoModel(len(self.dict), 8)

    def _loss(self, batch: Any) -> torch.Tensor:
        return self.criterion(self.model(batch.text_vec), self.model(batch.label_vec).detach())

    def train_step(self, batch: Any) -> Any:
        """One step."""
        self.model.train()
        self.zero_grad()
        loss = self._loss(batch)
        self.backward(loss)
        self.update_params()
        self.record_local_metric("loss", AverageMetric.many([loss.item()] * batch.batchsize))

    def eval_step(self, batch: Any) -> Any:
        """Says the same to everything."""
        if batch.label_vec is not None:
            loss = self._loss(batch).item()
            self.record_local_metric("loss", AverageMetric.many([loss] * batch.batchsize))
        return Output(["I see"] * batch.batchsize)


# -- flags -----------------------------------------------------------------------------------


class OwnFlags(TransformerGeneratorAgent):
    """Flags of its own that are called like ours, and mean something else."""

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """The generator's, and its own."""
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group("Own")
        group.add_argument("--penalty", type=float, default=0.0)
        group.add_argument("--freeze", type="bool", default=False)
        group.add_argument("--teacher-model", default="nobody")
        group.add_argument("--kb-top-k", default="all")
        group.add_argument("--adapter", type=int, default=3)
        return parser

    def __init__(self, opt: Opt, shared: Any = None) -> None:
        super().__init__(opt, shared)
        assert isinstance(self.opt["penalty"], float), self.opt["penalty"]
        assert isinstance(self.opt["freeze"], bool), self.opt["freeze"]
        assert self.opt["teacher_model"] == "nobody", self.opt["teacher_model"]
        assert (self.opt["kb_top_k"], self.opt["adapter"]) == ("all", 3), self.opt

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """The stock loss, and its own penalty."""
        loss, output = super().compute_loss(batch, return_output=True)
        loss = loss + self.opt["penalty"] * output[0].clamp(-9, 9).pow(2).mean()
        return (loss, output) if return_output else loss
