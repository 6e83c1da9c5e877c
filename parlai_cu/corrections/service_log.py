"""Where a chat service writes what its users judge: as its config.yml says."""

import glob
import os

from parlai_cu.errors import UsageError

# what config.yml names it by default, in its comment
_USUAL = "feedback.jsonl"


def find(beside: str | None = None) -> str:
    """
    The feedback of the service that is configured here.

    Looked for in the configurations (``*.yml``) of the current folder and of the one beside a
    versions directory, then under its usual name.

    :raises UsageError: when there is none, or several
    """
    folders = ["."]
    if beside and os.path.isdir(beside):
        folders.append(os.path.dirname(os.path.abspath(beside)))
    named, configured = [], []
    for folder in folders:
        for config in sorted(glob.glob(os.path.join(folder, "*.y*ml"))):
            feedback = _of_config(config)
            if feedback:
                configured.append(f"{config}: {feedback}")
                # a service writes where it was started, which is beside its configuration, mostly
                named += [feedback, os.path.join(folder, feedback)]
        named.append(os.path.join(folder, _USUAL))
    found = {
        os.path.realpath(path): os.path.relpath(path) for path in named if os.path.exists(path)
    }
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise UsageError(
            f"parlai versions review: several services' feedback is here "
            f"({', '.join(sorted(found.values()))}); name one: --chatlog PATH"
        )
    said = f" ({'; '.join(configured)}: not there yet)" if configured else ""
    raise UsageError(
        f"parlai versions review: no service's feedback was found{said}; expected --chatlog PATH, "
        "which config.yml names as opt: chat: feedback"
    )


def _of_config(path: str) -> str | None:
    import yaml  # type: ignore[import-untyped]

    try:
        with open(path, encoding="utf-8") as f:
            config = yaml.safe_load(f)
        feedback = config["opt"]["chat"]["feedback"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None  # of something else
    return feedback if isinstance(feedback, str) else None
