"""Installing, removing and reinstalling the wheel: ParlAI gains and loses us with it."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
KNOWN = (
    "from parlai.core.loader import AGENT_REGISTRY\n"
    "from parlai.core.script import setup_script_registry, SCRIPT_REGISTRY\n"
    "setup_script_registry()\n"
    "print('frozen_layer' in AGENT_REGISTRY, 'doctor' in SCRIPT_REGISTRY)"
)


def run(*command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """A command that must not reach the network."""
    env: dict[str, str] = {**os.environ, "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1", **more}
    env.pop("PYTHONPATH", None)
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, built from this checkout."""
    pytest.importorskip("setuptools", reason="setuptools is needed to build the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    # a copy of what is packaged: the build writes into its folder
    source = folder / "source"
    source.mkdir()
    names = (
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "parlai_cu.pth",
        "parlai_cu",
        "zoo",
    )
    copied = run("cp", "-r", *(str(ROOT / name) for name in names), str(source))
    assert copied.returncode == 0, copied.stderr
    options = ("--no-build-isolation", "--no-deps", "-q", "-w", str(folder))
    built = run(sys.executable, "-m", "pip", "wheel", *options, str(source))
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An interpreter of a new environment that sees this one's libraries, but not us."""
    folder = tmp_path / "env"
    venv.create(folder, with_pip=True, symlinks=True)
    interpreter = str(folder / "bin" / "python")
    query = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    target = Path(run(interpreter, "-c", query).stdout.strip())
    # a .pth file of paths: the libraries are found, the .pth files among them are not run
    (target / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return interpreter


def known(python: str) -> str:
    """Whether ParlAI knows our agent and our command there."""
    # the environment that runs the tests may have us as an editable install; hide its traces
    result = run(python, "-c", KNOWN)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def pip(python: str, *arguments: str) -> None:
    """pip in that environment."""
    result = run(python, "-m", "pip", "-q", "--disable-pip-version-check", *arguments)
    assert result.returncode == 0, result.stderr


def site_packages(python: str) -> Path:
    """Where that environment keeps its packages."""
    query = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return Path(run(python, "-c", query).stdout.strip())


def test_wheel_comes_and_goes(wheel: Path, python: str) -> None:
    """Installed, ParlAI knows us; uninstalled, no file of ours is left; reinstalled, again."""
    site = site_packages(python)
    for _ in range(2):
        pip(python, "install", "--no-deps", str(wheel))
        assert (site / "parlai_cu.pth").exists()
        where = run(python, "-c", "import parlai_cu; print(parlai_cu.__file__)").stdout.strip()
        assert Path(where) == site / "parlai_cu" / "__init__.py"
        assert known(python) == "True True"
        pip(python, "install", "--no-deps", "--force-reinstall", str(wheel))
        assert known(python) == "True True"
        pip(python, "uninstall", "-y", "parlai-cu")
        assert not [entry.name for entry in site.iterdir() if "parlai_cu" in entry.name]
        gone = run(
            python,
            "-c",
            "import sys; print([f.__name__ for f in sys.meta_path "
            "if getattr(f, '__name__', '') == 'ParlaiCuStub'])",
        )
        assert gone.stdout.strip() == "[]"


def test_wheel_is_of_use(wheel: Path, python: str, tmp_path: Path) -> None:
    """Installed in an environment of its own, stock commands take its tasks and models."""
    pip(python, "install", "--no-deps", str(wheel))
    words = ["-mf", "zoo:telecom/base", "-t", "telecom", "--num-examples", "3", "--no-cuda"]
    words += ["--datapath", str(tmp_path / "data"), "--skip-generation", "true"]
    done = run(python, "-m", "parlai", "eval_model", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ppl" in done.stdout
    listed = run(python, "-m", "parlai", "versions", "list", "--versions", str(tmp_path / "none"))
    assert listed.returncode == 1
    assert "there is no such folder" in listed.stderr and "Traceback" not in listed.stderr


def test_wheel_holds_what_is_needed(wheel: Path) -> None:
    """The wheel has the .pth file at its root, every subpackage, and no tests."""
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert "parlai_cu.pth" in names
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "parlai_cu").rglob("*.py")}
    assert sources <= set(names)
    zoo = {str(path.relative_to(ROOT)) for path in (ROOT / "zoo").glob("*/**/*") if path.is_file()}
    assert {f"parlai_cu/{path}" for path in zoo} <= set(names)
    assert any(path.endswith("/model") for path in zoo)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "zoo/"))]
