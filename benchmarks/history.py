"""Results over time: one line a case, machine and commit, so that a slower commit is seen beside the others."""

import json
import operator
import pathlib
from typing import Any

from benchmarks.cases import OURS

FILE = "history.json"


def lines(work: str, stored: dict[str, Any], commit: str, day: str) -> list[dict[str, Any]]:
    """What is kept of a work's new results: of every case this project's times, and its ratio to the fastest peer."""
    about, kept = stored["environment"], []
    earlier = {label for entry in stored.get("earlier", ()) for label in entry["sizes"]}
    new = [row for row in stored.get("rows", ()) if row["case"] not in earlier]
    for own in (row for row in new if row["route"] == OURS and "seconds" in row):
        peers = [row for row in stored["rows"] if row["case"] == own["case"] and row["peer"] and "ratio" in row]
        fastest = min(peers, key=lambda row: row["ratio"], default=None)
        line = {"work": work, "case": own["case"], "machine": f"{about['device']} ({about['processor']})"}
        line |= {"commit": commit, "day": day, "load": about["load_average"], "seconds": own["seconds"]}
        line |= {"cpu": own["cpu"]} if "cpu" in own else {}
        if fastest:
            line |= {"fastest peer": fastest["route"], "ratio": fastest["ratio"]}
        kept.append(line)
    return kept


def remember(new: list[dict[str, Any]], folder: pathlib.Path) -> None:
    """Add lines; those of the same work, case, machine and commit are replaced."""
    name = operator.itemgetter("work", "case", "machine", "commit")
    by_name = {name(line): line for line in (*recalled(folder), *new)}
    ordered = sorted(by_name.values(), key=operator.itemgetter("work", "case", "machine", "day"))
    text = ",\n".join(json.dumps(line, ensure_ascii=False) for line in ordered)
    (folder / FILE).write_text(f"[\n{text}\n]\n", encoding="utf-8")


def recalled(folder: pathlib.Path) -> list[dict[str, Any]]:
    """All lines so far."""
    path = folder / FILE
    known: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return known


def table(folder: pathlib.Path) -> str:
    """In Markdown; empty where nothing is remembered."""
    known = recalled(folder)
    if not known:
        return ""
    rows = [
        "### Over time",
        "",
        "| work | size | machine | commit | day | load | seconds | processor | beside its peers |",
    ]
    rows.append("|---|---|---|---|---|---|---|---|---|")
    for line in known:
        processor = f"{line['cpu']:.3g}" if "cpu" in line else ""
        beside = f"{line['ratio']:.3g}×, {line['fastest peer']}" if "ratio" in line else ""
        cells = [line["work"], line["case"], line["machine"], line["commit"], line["day"], f"{line['load']:g}"]
        rows.append("| " + " | ".join([*cells, f"{line['seconds']:.3g}", processor, beside]) + " |")
    return "\n".join(rows)
