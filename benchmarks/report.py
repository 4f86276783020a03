"""Results as small JSON files with the environment they were measured in, and the README's tables made from them."""

import datetime as dt
import json
import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import jax

from benchmarks.cases import OURS, Work
from benchmarks.environments import REQUIREMENTS, NotInstalledError, versions_of
from benchmarks.history import lines, remember
from benchmarks.history import table as history_table
from ntk_localsgd import provenance, results

HERE = pathlib.Path(__file__).parent
BEGIN, END = "<!-- results: written by python -m benchmarks -->", "<!-- end of results -->"

# Variables on which the number of threads depends.
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")


def environment(used: set[str]) -> dict[str, Any]:
    """Device, versions here and in the peers' environments that were used, load, and what limits threads."""
    peers = {}
    for name in sorted(used):
        if REQUIREMENTS[name]:
            try:
                peers[name] = versions_of(name)
            except NotInstalledError as reason:
                peers[name] = {"not installed": str(reason)}
    return {
        "device": results.device_name(), "processor": _processor(), "versions": results.versions(), "peers": peers,
        "load_average": round(os.getloadavg()[0], 2),
        "variables": {name: os.environ[name] for name in _LIMITS if name in os.environ},
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def of_work(
    work: Work, rows: list[dict[str, Any]], about: dict[str, Any], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What is stored of a work: what was measured now, and what was ``before`` of its other sizes."""
    new = {row["case"] for row in rows}
    stored = [row for row in (before or {}).get("rows", ()) if row["case"] not in new]
    ordered = [row for case in work.cases for row in (*rows, *stored) if row["case"] == case.label]
    kept = [case.label for case in work.cases if any(row["case"] == case.label for row in stored)]
    return {
        "title": work.title, "operations": work.formula, "tolerance": work.tolerance, "because": work.because,
        "verdicts": [target.verdict(ordered) for target in work.targets],
        "environment": about, "earlier": _earlier(before, kept),
        "rows": [{name: _short(value) for name, value in row.items()} for row in ordered],
    }  # fmt: skip


def of_growth(
    series: Iterable[str], rows: dict[str, dict[str, Any]], about: dict[str, Any], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What is stored of the fitted exponents: what was measured now, and what was ``before`` of other ``series``."""
    kept = {name: row for name, row in (before or {}).get("growth", {}).items() if name not in rows}
    found = {name: (kept | rows)[name] for name in series if name in kept | rows}
    ordered = {name: {key: _short(value) for key, value in row.items()} for name, row in found.items()}
    earlier = _earlier(before, [name for name in ordered if name in kept])
    return {"title": "Growth of this project's time", "environment": about, "earlier": earlier, "growth": ordered}


def _earlier(before: dict[str, Any] | None, kept: list[str]) -> list[dict[str, Any]]:
    """In which environment the sizes were measured whose results are kept: one entry an environment."""
    if before is None or not kept:
        return []
    entries = before.get("earlier", [])
    known = {label for entry in entries for label in entry["sizes"]}
    newest = {"sizes": [label for label in kept if label not in known], "environment": before["environment"]}
    others = [{**entry, "sizes": [label for label in kept if label in entry["sizes"]]} for entry in entries]
    return [entry for entry in (newest, *others) if entry["sizes"]]


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def write(name: str, stored: dict[str, Any], folder: pathlib.Path) -> None:
    """One JSON file a work, so that ``--only`` replaces no other's."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(stored, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+([-\d.e+,\s]+?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    remember(lines(name, stored, provenance.commit(), dt.date.today().isoformat()), folder)


def read(name: str, folder: pathlib.Path) -> dict[str, Any]:
    """What is stored of a work; nothing where there is none."""
    path = folder / f"{name}.json"
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return stored


def here(folder: pathlib.Path) -> pathlib.Path:
    """Where results of this device go: those of an accelerator beside the processor's, in a folder of its name."""
    if jax.default_backend() == "cpu":
        return folder
    return folder / re.sub(r"\W+", "-", results.device_name().lower()).strip("-")


def render(folder: pathlib.Path, order: list[str]) -> str:
    """The tables of all stored results, in Markdown: of each work the processor's, then every other device's."""
    tables, devices = [], sorted(place for place in folder.glob("*") if place.is_dir())
    for name in order:
        found = [read(name, place) for place in (folder, *devices)]
        tables += [(_growth_table if "growth" in one else _table)(one, found[0]) for one in found if one]
    return "\n\n".join([*tables, *filter(None, map(history_table, (folder, *devices)))])


def _beside(stored: dict[str, Any], processor: dict[str, Any]) -> list[str]:
    """This project's times on a device beside those on the processor, where both did the same."""
    if stored is processor:
        return []
    seconds = lambda rows: {r["case"]: r["seconds"] for r in rows if r["route"] == OURS and "seconds" in r}  # noqa: E731
    there = seconds(processor.get("rows", []))
    return [
        f"- {case}: {there[case] / time:.3g} times as fast as on {processor['environment']['device']}"
        for case, time in seconds(stored["rows"]).items() if case in there
    ]  # fmt: skip


def _heading(stored: dict[str, Any], processor: dict[str, Any]) -> str:
    return f"### {stored['title']}" + ("" if stored is processor else f", {stored['environment']['device']}")


def _table(stored: dict[str, Any], processor: dict[str, Any]) -> str:
    beside = _beside(stored, processor)
    lines = [_heading(stored, processor), ""]
    lines += [f"- {verdict}" for verdict in stored["verdicts"]] + beside + [""] * bool(stored["verdicts"] or beside)
    lines += [
        "| size | route | seconds | times ours | processor | times ours | rate | share | peak | agreement |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in stored["rows"]:
        cells = [row["case"], f"**{row['route']}**" if row["route"] == OURS else row["route"]]
        if "seconds" in row:
            cells += [
                f"{row['seconds']:.3g}",
                f"{row['ratio']:.3g}×" if "ratio" in row else "",
                f"{row['cpu']:.3g}" if "cpu" in row else "",
                f"{row['cpu_ratio']:.3g}×" if "cpu_ratio" in row else "",
                f"{row['rate'] / 1e9:.3g} Gop/s" if "rate" in row else "",
                f"{row['share']:.0%}" if "share" in row else "",
                f"{row['peak'] / 2**30:.2f} GiB",
                f"{row['agreement']:.1e}" if "agreement" in row else "",
            ]
        else:
            cells += [row.get("note", ""), *[""] * 7]
        lines.append("| " + " | ".join(cells) + " |")
    compared = any("agreement" in row for row in stored["rows"])
    lines += ["", *[f"Results agree within {stored['tolerance']:g}: {stored['because']}."] * compared]
    if stored["operations"]:
        lines.append(f"Operations: {stored['operations']}; share: of the faster of the large products.")
    return "\n".join([*lines, *_about(stored)])


def _growth_table(stored: dict[str, Any], processor: dict[str, Any]) -> str:
    lines = [_heading(stored, processor), "", "| varied | sizes | seconds | fitted exponent | operation count's |"]
    lines += ["|---|---|---|---|---|"]
    for name, row in stored["growth"].items():
        seconds = ", ".join(f"{value:.2g}" for value in row["seconds"])
        sizes = ", ".join(f"{value:g}" for value in row["sizes"])
        lines.append(f"| {name} | {sizes} | {seconds} | {row['exponent']:.2f} | {row['counted']:.2f} |")
    return "\n".join([*lines, "", *_about(stored)])


def _about(stored: dict[str, Any]) -> list[str]:
    """One line an environment: of the newest results, and of sizes that were measured before."""
    entries = [{"sizes": [], "environment": stored["environment"]}, *stored.get("earlier", ())]
    return [_measured_on(entry["environment"], entry["sizes"]) for entry in entries]


def _measured_on(environment: dict[str, Any], sizes: list[str]) -> str:
    versions = environment["versions"]
    here = [f"{name} {versions[name]}" for name in ("python", "jax", "neural-tangents", "numpy", "scipy")]
    peers = [
        f"{name} ({', '.join(f'{k} {v}' for k, v in found.items())})" for name, found in environment["peers"].items()
    ]
    load = ", ".join([f"load average {environment['load_average']:g}",
                      *(f"{name}={value}" for name, value in environment.get("variables", {}).items())])  # fmt: skip
    begun = f"Earlier, {'; '.join(sizes)}, measured" if sizes else "Measured"
    return f"{begun} on {environment['device']} ({environment['processor']}), {load}: {', '.join(here + peers)}."


def into_readme(tables: str, readme: pathlib.Path = HERE / "README.md") -> None:
    """Replace what stands between the two marks."""
    text = readme.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")
