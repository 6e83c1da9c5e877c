"""`parlai doctor`: what it prints, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parlai_cu import compat, plugin


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with a training step that costs nothing."""
    from parlai_cu.scripts import doctor as module

    monkeypatch.setattr(module, "_training_step", lambda: "learnt")
    return module


def test_healthy(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions, libraries, each repair with its reason, and nothing essential to do."""
    found = doctor.examine()
    text = found.text()
    assert not found.broken, text
    for line in ("  parlai               1.7.2", "  a training step      ok, learnt"):
        assert line in text
    for repair in plugin.REPAIRS:
        reason = compat.reason(repair)
        state = f"active: {reason}" if reason else "not needed"
        assert f"  {repair:<20} {state}" in text


def test_for_programs(
    doctor: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--json` says the same, section by section, with the same exit status."""
    monkeypatch.setattr(doctor, "_training_step", lambda: 1 / 0)
    with pytest.raises(SystemExit):
        doctor.Doctor.main("--json")
    found = json.loads(capsys.readouterr().out)
    assert not found["works"]
    # beside what else is wrong with this environment
    assert any("a training step failed" in what for what in found["to do"])
    assert found["Libraries"]["torch"]
    assert found["Checks"]["a training step"].startswith("FAILED: ")


def test_training_does_not_work(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing training step is essential; the error is on one line and says how to go on."""

    def fail() -> str:
        raise TypeError("no\nsuch argument")

    monkeypatch.setattr(doctor, "_training_step", fail)
    found = doctor.examine()
    assert found.broken
    assert "  a training step      FAILED: TypeError: no such argument" in found.text()
    assert ". a training step failed (TypeError: no such argument). See where: " in found.text()
    assert "Traceback" not in found.text()
    assert "Traceback" in doctor.examine(details=True).text()


def test_missing_libraries(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is named with the pip line; only required ones are essential."""
    monkeypatch.setitem(doctor.OPTIONAL, "no_such_thing", ("no-such-thing", "pictures"))
    found = doctor.examine()
    assert "  no-such-thing        missing; without it: no pictures" in found.text()
    assert not found.broken
    monkeypatch.setitem(doctor.REQUIRED, "no_such_thing", ("no-such-thing", "ParlAI"))
    found = doctor.examine()
    assert "no-such-thing is missing: pip install no-such-thing" in found.text()
    assert found.broken


def test_repair_whose_check_fails(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair that cannot be asked is told, and is no reason to stop."""

    def reason(repair: str) -> None:
        raise KeyError(repair)

    monkeypatch.setattr(compat, "reason", reason)
    found = doctor.examine()
    assert "  numpy_int            off: its check failed (KeyError: 'numpy_int')" in found.text()
    assert not found.broken


def test_repair_the_user_can_help(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user can put the cause right, it says how."""
    monkeypatch.setattr(compat, "reason", lambda repair: f"{repair} is why")
    text = doctor.examine().text()
    assert "torchvision_mismatch is why: pip install --upgrade torchvision" in text


def test_training_step_trains() -> None:
    """The step really trains, saves and loads, prints nothing and leaves nothing behind."""
    from parlai_cu.scripts import doctor as module

    assert "learnt for 2 updates" in module._training_step()


def run(*arguments: str, path: str = "") -> "subprocess.CompletedProcess[str]":
    """An interpreter away from the checkout."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=120
    )


def test_command() -> None:
    """The command prints one quiet page; a broken environment gives exit status 1."""
    code = "from parlai.core.script import superscript_main\nsuperscript_main(['doctor'])"
    well = run("-c", code)
    assert well.returncode == 0, well.stderr
    assert well.stdout.startswith("Versions\n")
    assert "a training step      ok" in well.stdout
    breaks = (
        "from parlai_cu.scripts import doctor\n"
        "doctor.REQUIRED['no_such_thing'] = ('no-such-thing', 'ParlAI')\n"
    )
    ill = run("-c", breaks + code)
    assert ill.returncode == 1
    assert "To do\n  1. no-such-thing is missing" in ill.stdout


def test_without_parlai(tmp_path: Path) -> None:
    """Without ParlAI `python -m parlai_cu doctor` says in one line what to run."""
    code = (
        "import sys, runpy\n"
        "class Missing:\n"
        "    @staticmethod\n    def find_spec(name, path=None, target=None):\n"
        "        if name == 'parlai':\n"
        "            raise ModuleNotFoundError('No module named parlai', name='parlai')\n"
        "sys.meta_path.insert(0, Missing)\nsys.argv = ['parlai_cu', 'doctor']\n"
        "runpy.run_module('parlai_cu', run_name='__main__')"
    )
    result = run("-c", code)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "parlai_cu: ParlAI is not installed. Run: pip install --no-deps parlai==1.7.2"
    )
    assert "Traceback" not in result.stderr
