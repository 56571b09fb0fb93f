"""What `blend` prints: the members with their worth, and the blend's own score."""

from typing import Any

from foldwise.errors import first_few

ROWS = 20  # members that are listed, the heaviest; blend.json has all
WIDE = 10  # members whose correlations are listed


def said(name: str, scores: dict[str, Any], described: dict[str, Any]) -> str:
    """The table, from scores.json and blend.json."""
    metric, members = scores["metric"], described["members"]
    order = sorted(range(len(members)), key=lambda n: -(members[n]["weight"] or 0))
    width = max(len(name), *(len(member["name"]) for member in members))
    column = max(8, len(metric))
    lines = [f"{'':<{width}}  weight {metric:>{column}} {'without':>{column}}  blend is better"]
    for n in order[:ROWS]:
        one = members[n]
        weight = "-" if one["weight"] is None else f"{one['weight']:.3f}"
        lines.append(
            f"{one['name']:<{width}}  {weight:>6} {_number(one['score']):>{column}} "
            f"{_number(one['without']):>{column}}  {one['blend_better']:>8.1%}"
        )
    if len(order) > ROWS:
        lines.append(f"and {len(order) - ROWS} more, which blend.json has")
    lines += _alike(members, described["correlation"], width)
    folds = " ".join(_number(value) for value in scores["folds"].values())
    lines.append(f"folds {folds}, mean {_number(scores['mean'])} ± {_number(scores['std'])}")
    low, high = scores["interval"] or (None, None)
    honest = f"{name}: {metric} {_number(scores['honest'])} ({_number(low)} to {_number(high)})"
    if scores["selection"] == "fixed":
        lines.append(f"{honest}; nothing was fitted")
    else:
        fitted_for = described["fitted_for"]
        if fitted_for not in ("auto", metric):
            lines.append(f"weights are fitted for {fitted_for}")
        lines.append(
            f"{honest}, every row by what the other folds taught; "
            f"naive {_number(scores['naive'])}, optimism {_number(scores['optimism'])}"
        )
    lines += [f"      {_number(value)} {other}" for other, value in scores["watched"].items()]
    if "seen" in scores:
        lines.append(
            f"not honest: with checks=false, members have seen the labels of the folds "
            f"{first_few(scores['seen'])} that they predict"
        )
    return "\n".join([*lines, _best(scores, members)])


def _alike(members: list[dict[str, Any]], matrix: list[list[float]], width: int) -> list[str]:
    """The correlations of the members' errors: all, or the largest and the smallest."""
    count = len(members)
    if count <= WIDE:
        head = " ".join(f"{n + 1:>5}" for n in range(count))
        lines = [f"{'correlation of errors':<{width + 4}}{head}"]
        for n, row in enumerate(matrix):
            cells = " ".join(f"{value:>5.2f}" for value in row[: n + 1])
            lines.append(f"{n + 1:>2}  {members[n]['name']:<{width}}{cells}")
        return lines
    pairs = [(matrix[a][b], a, b) for a in range(count) for b in range(a)]
    texts = [
        f"{members[a]['name']} and {members[b]['name']} ({value:.2f})"
        for value, a, b in (max(pairs), min(pairs))
    ]
    return [f"errors most alike: {texts[0]}; least: {texts[1]}"]


def _best(scores: dict[str, Any], members: list[dict[str, Any]]) -> str:
    known = [member for member in members if member["score"] is not None]
    if not known:
        return "no member has a score"
    sign = 1 if scores["greater_is_better"] else -1
    best = max(known, key=lambda member: sign * member["score"])
    return (
        f"better than its best member, {best['name']}, with probability {best['blend_better']:.1%}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
