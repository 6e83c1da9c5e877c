"""`make docs`: the docs as a site."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def build(config: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    """What `make docs` runs, into another folder."""
    pytest.importorskip("mkdocs")
    words = ["-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    return subprocess.run(
        [sys.executable, *words, "--site-dir", str(site)], capture_output=True, text=True
    )


def test_the_site_is_built_and_asks_no_other_server(tmp_path: Path) -> None:
    """Each page is there, no link is broken, and nothing is loaded from elsewhere."""
    done = build(ROOT / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    for page in DOCS.glob("*.md"):
        assert (tmp_path / "site" / f"{page.stem}.html").is_file()
    first = (tmp_path / "site" / "index.html").read_text()
    assert "The main job" in first and 'href="tutorial.html"' in first
    for page in (tmp_path / "site").glob("*.html"):
        assert (
            'src="http' not in page.read_text() and 'stylesheet" href="http' not in page.read_text()
        )


@pytest.mark.parametrize("link", ["[x](nowhere.md)", "[x](../nowhere.py)", "[x](faq.md#nowhere)"])
def test_a_broken_link_fails_the_build(link: str, tmp_path: Path) -> None:
    """To a page, to a file of the project, to a heading."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Hello\n")
    (tmp_path / "docs" / "faq.md").write_text(f"# Questions\n\n{link}\n")
    (tmp_path / "docs" / "hooks.py").write_text((DOCS / "hooks.py").read_text())
    settings = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0].replace("[site.css]", "[]")
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0 and "nowhere" in done.stdout + done.stderr


def test_each_page_has_one_entry() -> None:
    """In the site's navigation."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    entries = [line.rpartition(": ")[2] for line in nav.splitlines() if line.endswith(".md")]
    assert sorted(entries) == sorted(["index.md", *(page.name for page in DOCS.glob("*.md"))])
    assert len({str(entry) for entry in yaml.safe_load("nav:" + nav)["nav"]}) > 3


def test_diagrams_are_what_the_script_draws() -> None:
    """docs/draw.py was run after it was changed."""
    spec = importlib.util.spec_from_file_location("draw", DOCS / "draw.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, content in module.files().items():
        assert path.read_text() == content, path
