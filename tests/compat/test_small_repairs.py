"""Each repair in parlai_cu/compat: the code that needs it works with it and fails without."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu import compat, plugin

needs_rouge = pytest.mark.skipif(
    importlib.util.find_spec("rouge") is None, reason="py-rouge is not installed"
)


@pytest.mark.parametrize("repair", plugin.REPAIRS)
def test_says_what_it_is_for(repair: str) -> None:
    """Every repair names what is broken and when it may go, and its check can be asked."""
    module = compat._load(repair)
    assert "Goes when:" in module.__doc__
    assert "Seen" in module.__doc__
    assert compat.summary(repair)
    reason = compat.reason(repair)
    assert reason is None or (reason and "\n" not in reason)


def test_pkg_resources_gone(both_ways: Callable[..., None]) -> None:
    """ParlAI starts without pkg_resources."""
    code = "import parlai_cu, parlai.core.opt"
    both_ways("pkg_resources_gone", code, "No module named 'pkg_resources'")


def test_pkg_resources_stand_in_is_not_left_behind(python: Callable[..., Any]) -> None:
    """Outside ParlAI `import pkg_resources` behaves as if we were not there."""
    if compat.reason("pkg_resources_gone") is None:
        pytest.skip("this environment has pkg_resources")
    result = python(
        "import parlai_cu, parlai.core.opt\n"
        "try:\n    import pkg_resources\nexcept ModuleNotFoundError:\n    print('gone')\n"
    )
    assert result.stdout == "gone\n"


@needs_rouge
def test_py_rouge_looks_up_its_resources_later(python: Callable[..., Any]) -> None:
    """py-rouge imports, and finds its stemming tables when a score is asked for."""
    result = python(
        "import parlai_cu, parlai\nimport rouge\n"
        "scores = rouge.Rouge(metrics=['rouge-n'], max_n=1).get_scores('runs', 'running')\n"
        "print(len(rouge.Rouge.WORDNET_KEY_VALUE) > 0, scores['rouge-1']['f'])"
    )
    assert result.stdout == "True 1.0\n", result.stderr


@needs_rouge
def test_rouge_without_punkt(python: Callable[..., Any]) -> None:
    """ROUGE is in the report though nltk has no data."""
    code = (
        "import nltk; nltk.data.path[:] = []\n"
        "from parlai.core.metrics import RougeMetric\n"
        "scores = RougeMetric.compute_many('The cat sat, down.', ['the cat sat'])\n"
        "print([s and float(s) for s in scores])"
    )
    assert python(code).stdout == "[1.0, 1.0, 1.0]\n"
    stock = python(code, without=["rouge_without_punkt"])
    assert stock.stdout.endswith("[None, None, None]\n"), stock.stderr


@needs_rouge
def test_rouge_is_not_approximated(python: Callable[..., Any]) -> None:
    """Text of several sentences still asks for nltk's data."""
    result = python(
        "import nltk; nltk.data.path[:] = []\nimport parlai_cu, parlai, rouge\n"
        "assert rouge.Rouge.split_into_sentences('one two', False) == ['one two']\n"
        "rouge.Rouge.split_into_sentences('One. Two.', False)"
    )
    assert "Resource" in result.stderr


def test_plateau_verbose(both_ways: Callable[..., None]) -> None:
    """ParlAI's default scheduler is built, and lowers the rate on a plateau."""
    code = (
        "import torch\nfrom parlai.nn.lr_scheduler import ReduceOnPlateauLRScheduler\n"
        "optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)\n"
        "scheduler = ReduceOnPlateauLRScheduler(optimizer, 0, 0.5, -1, 1e-4)\n"
        "for _ in range(2):\n    scheduler.valid_step({'loss': 1.0})\n"
        "assert optimizer.param_groups[0]['lr'] == 0.5"
    )
    both_ways("plateau_verbose", code, "unexpected keyword argument 'verbose'")


def test_numpy_int(both_ways: Callable[..., None]) -> None:
    """A dictionary gives its indices as an array of integers."""
    code = (
        "import numpy\nfrom parlai.core.dict import DictionaryAgent\n"
        "from parlai.core.params import ParlaiParser\n"
        "parser = ParlaiParser(True, False)\nDictionaryAgent.add_cmdline_args(parser, None)\n"
        "words = DictionaryAgent(parser.parse_args([]))\nwords.add_to_dict(['a', 'b'])\n"
        "array = words.txt2vec('a b a', numpy.ndarray)\n"
        "assert array.dtype.kind == 'i' and list(array) == words.txt2vec('a b a'), array"
    )
    both_ways("numpy_int", code, "has no attribute 'int'")


def test_torchvision_mismatch(python: Callable[..., Any], tmp_path: Path) -> None:
    """A torchvision that raises RuntimeError counts as not installed."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    code = (
        "from parlai.core.image_featurizers import ImageLoader\n"
        "try:\n    ImageLoader._init_transform(None)\n"
        "except ImportError as error:\n    print(error)"
    )
    repaired = python(code)
    assert repaired.stdout == "Please install torchvision; see https://pytorch.org/\n"
    stock = python(code, without=["torchvision_mismatch"])
    assert "RuntimeError: operator torchvision::nms" in stock.stderr


def test_torchvision_keeps_other_errors(python: Callable[..., Any], tmp_path: Path) -> None:
    """Another error of torchvision's is not touched, and the cause of ours is the first one."""
    (tmp_path / "torchvision.py").write_text("import os\nraise eval(os.environ['RAISE'])")
    code = (
        "import parlai_cu, parlai\ntry:\n    import torchvision\n"
        "except Exception as error:\n    print(type(error).__name__, repr(error.__cause__))"
    )
    kept = python(code, env={"RAISE": "OSError('disk')"})
    assert kept.stdout == "OSError None\n"
    turned = python(code, env={"RAISE": "RuntimeError('nms')"})
    assert turned.stdout == "ImportError RuntimeError('nms')\n"


def test_seq2seq_load(both_ways: Callable[..., None]) -> None:
    """A seq2seq model whose file holds an Opt, as ParlAI's old ones do, loads."""
    code = (
        "import torch\nfrom parlai.core.opt import Opt\n"
        "from parlai.agents.seq2seq.seq2seq import Seq2seqAgent\n"
        "agent = Seq2seqAgent.__new__(Seq2seqAgent)\nagent.model = torch.nn.Linear(1, 1)\n"
        "states = {'model': agent.model.state_dict(), 'longest_label': 7, 'opt': Opt(a=1)}\n"
        "torch.save(states, 'model')\n"
        "assert agent.load('model')['opt'] == {'a': 1}\nassert agent.model.longest_label == 7"
    )
    both_ways("model_pickles", code, "Weights only load failed")


def test_seq2seq_load_reads_no_foreign_files(python: Callable[..., Any]) -> None:
    """Candidates and other files keep torch's safe default."""
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        pytest.skip("this torch has no safe default")
    result = python(
        "import torch, types\nimport parlai.agents.seq2seq.seq2seq\n"
        "from parlai.core.torch_ranker_agent import TorchRankerAgent\n"
        "torch.save(types.SimpleNamespace(), 'cands')\n"
        "TorchRankerAgent.load_candidates(None, 'cands')"
    )
    assert "Weights only load failed" in result.stderr


def test_model_pickles(both_ways: Callable[..., None]) -> None:
    """A model file with more than tensors in it is refused before anything in it runs."""
    code = (
        "import os, pathlib, torch\nfrom parlai.core.torch_agent import TorchAgent\n"
        "class Bomb:\n    def __reduce__(self):\n        return os.mkdir, ('harmed',)\n"
        "torch.save({'x': Bomb()}, 'model')\n"
        "agent = type('A', (), {'load': TorchAgent.load})()\n"
        "try:\n    agent.load('model')\nexcept Exception as error:\n"
        "    assert '--trust-checkpoint' in str(error)\n"
        "assert not pathlib.Path('harmed').exists(), 'harm was done'"
    )
    both_ways("model_pickles", code, "harm was done")


PANDAS = """
import warnings
warnings.simplefilter("error", FutureWarning)
from parlai.utils.misc import nice_report
report = {"loss": 1.0, "b/f1": 2.0, "a/f1": 1.0, "a/zz": 3.0, "b/acc": .2, "a/x": float("nan")}
text = nice_report(report)
rows = [line.split() for line in text.splitlines()]
assert rows == [
    ["acc", "f1", "loss", "zz"], ["a", "1", "3"], ["all", "1"], ["b", ".2000", "2"]
], text
assert nice_report({}) == ""
"""


def test_pandas_stack(both_ways: Callable[..., None]) -> None:
    """Reports are sorted tables without empty columns, and without warnings."""
    if importlib.util.find_spec("pandas") is None:
        pytest.skip("pandas is not installed")
    both_ways("pandas_stack", PANDAS, "Traceback")


def test_failure_of_a_repair_is_one_line(python: Callable[..., Any]) -> None:
    """A repair that raises is off, with a line saying so, and ParlAI runs."""
    result = python(
        "from parlai_cu.compat import numpy_int\n"
        "def broken(module):\n    raise KeyError('x')\n"
        "numpy_int.needed, numpy_int.after = (lambda: 'why'), broken\n"
        "import parlai.core.dict\nprint('runs')"
    )
    assert result.stdout == "runs\n"
    assert "parlai_cu: the repair numpy_int is off (KeyError: 'x')" in result.stderr


def test_options_do_not_grow_with_their_copies() -> None:
    """However often they are copied, pickled or not, the notes of it stay few."""
    import copy
    import pickle

    from parlai.core.opt import Opt

    opt = Opt({"a": 1})
    for given in (opt, pickle.loads(pickle.dumps(opt))):
        for _ in range(100):
            copied = copy.deepcopy(given)
            copied["b"] = 2
        assert len(given.deepcopies) == len(copied.deepcopies) <= 16
        assert copied == {"a": 1, "b": 2} and type(copied.deepcopies) is list
        assert all("test_small_repairs.py" in note for note in given.deepcopies)


def test_websocket_callbacks(both_ways: Callable[..., None]) -> None:
    """A callback that takes the connection alone is told when it closes."""
    pytest.importorskip("websocket")
    code = (
        "import parlai, websocket\n"
        "told = []\n"
        "app = websocket.WebSocketApp('ws://127.0.0.1:1', on_close=lambda ws: told.append(ws))\n"
        "app.on_close(app, 1000, 'over')\n"
        "assert told == [app]\n"
        "full = websocket.WebSocketApp('ws://127.0.0.1:1', on_close=lambda *a: told.append(a))\n"
        "full.on_close(full, 1000, 'over')\n"
        "assert told[1] == (full, 1000, 'over')"
    )
    both_ways("websocket_callbacks", code, "takes 1 positional argument but 3 were given")
