"""
mkdocs' hooks: what the site has in another place than the repository.

The first page is the README. Links that lead out of docs/ have no page on the site: they are shown
as the path that they are, if there is such a file, and the build fails if there is none.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
# [words](target), but no image, and nothing within code
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]+)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the README as first page."""
    text = README.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **more: Any) -> str:
    """Lead links to the README to the first page; those to other files of the project nowhere."""
    folder = ROOT if page.file.src_uri == "index.md" else DOCS

    def link(found: "re.Match[str]") -> str:
        target, _, anchor = found["target"].partition("#")
        # what is on the site mkdocs checks itself
        if not target or "://" in target or (DOCS / target).is_file() and ".." not in target:
            return found[0]
        path = (folder / target).resolve()
        if not path.exists():
            raise PluginError(f"{page.file.src_uri}: {found[0]} leads nowhere")
        if path == README:
            return f"[{found['words']}](index.md{'#' + anchor if anchor else ''})"
        name = f"`{path.relative_to(ROOT)}`"
        words = found["words"]
        return name if words.strip("`") in name else f"{words} ({name})"

    return _LINK.sub(link, markdown)
