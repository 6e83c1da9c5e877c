"""
The official scores of DSTC11 track 5 over a split, from what a system said of each instance.

As in the track's own scoring: detection by precision, recall and F1; selection by those over all
snippets together, and by how often the set is exactly right; generation by BLEU (sacreBLEU, of the
corpus), METEOR 1.5 (its own program, which needs Java) and ROUGE (with stemming), of the turns that
were rightly taken to seek knowledge, each as F1 over the turns that seek it and those taken to.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Said(NamedTuple):
    """Of one instance: whether it seeks knowledge, the ids of the snippets, the reply."""

    seeks: bool
    snippets: set[str]
    response: str


def scores(gold: Sequence[Said], system: Sequence[Said]) -> dict[str, float]:
    """Every official score, from 0 to 1; METEOR is missing where its program is."""
    pairs = list(zip(gold, system))
    both = [(g, s) for g, s in pairs if g.seeks and s.seeks]
    hits = float(len(both))
    taken, sought = sum(s.seeks for s in system), sum(g.seeks for g in gold)
    right = sum(len(g.snippets & s.snippets) for g, s in pairs)
    chosen = sum(len(s.snippets) for s in system)
    wanted = sum(len(g.snippets) for g in gold)
    any_set = [(g, s) for g, s in pairs if g.snippets or s.snippets]
    exact = sum(g.snippets == s.snippets for g, s in any_set)
    found = {
        "detection_p": _share(hits, taken),
        "detection_r": _share(hits, sought),
        "detection_f1": _f1(hits, taken, sought),
        "selection_p": _share(right, chosen),
        "selection_r": _share(right, wanted),
        "selection_f1": _f1(right, chosen, wanted),
        "selection_em": _share(exact, len(any_set)),
    }
    replies = [s.response for _, s in both], [g.response for g, _ in both]
    for name, mean in generation(*replies).items():
        found[name] = _f1(mean * hits, taken, sought)
    return found


def generation(said: list[str], references: list[str]) -> dict[str, float]:
    """Means over replies and their references."""
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    if not said:
        return {}
    found = {"bleu": sacrebleu.corpus_bleu(said, [references]).score / 100}
    found.update(_meteor(said, references))
    kinds = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(kinds, use_stemmer=True)
    rows = [scorer.score(reference, text) for text, reference in zip(said, references)]
    for kind in kinds:
        found[kind] = sum(row[kind].fmeasure for row in rows) / len(rows)
    return found


def _meteor(said: list[str], references: list[str]) -> dict[str, float]:
    try:
        from pycocoevalcap.meteor.meteor import Meteor

        program: Any = Meteor()
    except (ImportError, OSError) as error:
        print(f"no METEOR: {error} (pip install --no-deps pycocoevalcap, and Java)")
        return {}
    # it reads lines
    texts = [
        {i: [" ".join(text.split())] for i, text in enumerate(of)} for of in (references, said)
    ]
    score, _ = program.compute_score(*texts)
    program.meteor_p.kill()
    return {"meteor": float(score)}


def _lines(texts: list[str]) -> dict[int, list[str]]:
    """As the program reads them: a text a line."""
    return {i: [" ".join(text.split())] for i, text in enumerate(texts)}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _f1(hits: float, taken: float, sought: float) -> float:
    """Of precision hits / taken and recall hits / sought."""
    return 2 * hits / (taken + sought) if taken + sought else 0.0
