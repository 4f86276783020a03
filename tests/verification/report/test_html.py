"""report.html: one offline file; what it shows is counted in a real browser where there is one."""

import dataclasses
import json
import re
import shutil
import subprocess

import pytest

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Header
from tests.verification.rows import row
from verification import registry
from verification.report import html, pages

QUICK = Header("quick", 0, "x86_64 CPU, 2 cores", "abc", {"jax": "0"})
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
_OFFLINE = ("--disable-background-networking", "--disable-component-update", "--disable-quic")


@pytest.fixture(autouse=True)
def _discovered():
    registry.discover()


def _page(*rows, **header):
    return html.render(pages.report([(dataclasses.replace(QUICK, **header), rows)]))


def _code(file):
    return f"code/{file.name}"


def test_powers_and_indices_are_raised_and_lowered_and_markup_is_escaped():
    shown = html.typeset("m ≥ n^16 φ^{−5}, R_0 < (1 − η)^k, log^(−3/2) m")
    assert shown == "m ≥ n<sup>16</sup> φ<sup>−5</sup>, R<sub>0</sub> &lt; (1 − η)<sup>k</sup>, log<sup>−3/2</sup> m"


def test_what_stands_in_a_row_cannot_end_a_script_or_become_markup():
    text = _page(row(setting={"case": "</script><b>bold"}))
    assert "<b>bold" not in text.replace("<\\/script><b>bold", "")
    assert json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])[0]["setting"] == "</script><b>bold"


def test_no_request_leaves_and_a_crash_or_an_unbroken_control_is_not_overlooked():
    text = _page(row(broke=False), crashed={"K9": "ValueError: <a>"})
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert "UNBROKEN" in text
    assert "K9 (quick) (ValueError: &lt;a&gt;)" in text
    assert re.search(r"Without a row here: [^<]*\bS0\b", text)


def test_a_card_links_to_bound_claim_and_jobs_where_it_is_told_how():
    for name in ("K4a", "C4-server"):  # of a part without a bound of its own, the whole claim's
        linked = set(re.findall(r'href="code/(\w+)\.py"', html.render(pages.report([(QUICK, [row(name)])]), _code)))
        bound, script = BOUNDS[name.partition("-")[0]].module, registry.CLAIMS[name].file
        assert {bound.rpartition(".")[2], script.stem} < linked
    assert 'href="code/' not in _page(row("K4a"))


def test_the_first_table_says_what_holds_where_what_is_recalled_and_what_is_not_shown():
    text = _page(row("C2", premise=False), row("C2", premise=False, holds=False), row("K2"), row("C5"))
    answers = re.sub("<[^>]*>", " ", text.split('id="answers">')[1].split("</dl>")[0])
    assert "main theorem hold (C2)?  No row meets its premise; outside, its conclusion holds in 1 of 2; none" in answers
    assert "measured over bound is at worst 0.5 (≤)" in answers
    assert "Of this paper C2; in all 1 of 3 claims." in answers
    first = text.split('id="papers"')[1].split("</table>")[0]
    deng = first.split("</tr>")[1]
    assert "1 of 1 hold" in deng
    assert deng.count('href="#C2"') == 2


_SCRIPT = """
<script>
window.errors = [];
window.addEventListener("error", event => errors.push(event.message));
addEventListener("load", async () => {
  while (!document.documentElement.dataset.ready) await new Promise(done => setTimeout(done, 20));
  const form = document.getElementById("filters");
  const count = () => [...document.querySelectorAll("details.card")].filter(card => card.offsetParent).length;
  const set = (name, value) => {
    form.elements[name].value = value; form.dispatchEvent(new Event("input")); return count();
  };
  const seen = { all: count() };
  seen.refuted = set("verdict", "refuted");
  set("verdict", ""); seen.sphere = set("data", "sphere");
  set("data", ""); seen.text = set("text", "planted words"); set("text", "");
  const card = document.getElementById("K2");
  card.querySelector("summary").click(); seen.open = card.open && card.querySelector("table").offsetHeight > 0;
  seen.again = card.querySelector("code.again").textContent;
  const line = card.querySelector("tbody tr:nth-child(8) details.row"); line.querySelector("summary").click();
  seen.alone = line.open && line.querySelector("code").textContent;
  const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
  seen.requests = loaded.filter(name => !/^(data|blob):/.test(name));
  seen.sorted = document.querySelectorAll("#table tbody tr").length; seen.errors = errors;
  document.body.innerHTML = '<pre id="seen">' + JSON.stringify(seen) + "</pre>";
});
</script></body>"""


@pytest.mark.skipif(_CHROMIUM is None, reason="needs Chromium")
def test_filters_cards_and_the_table_work_in_a_browser(tmp_path):
    rows = [row("K2", setting={"data": "digits", "n": n}) for n in range(500)]
    rows += [row("C8", setting={"data": "sphere", "n": n}) for n in range(499)]
    rows += [row("C8", holds=False, setting={"data": "digits", "case": "planted words"})]
    page = tmp_path / "report.html"
    page.write_text(_page(*rows).replace("</body>", _SCRIPT))
    flags = (*_FLAGS, *_OFFLINE, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom")
    run = subprocess.run([_CHROMIUM, *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    seen = json.loads(re.search(r'<pre id="seen">(.*?)</pre>', run.stdout, re.S)[1])
    assert (seen["all"], seen["refuted"], seen["sphere"], seen["text"]) == (2, 1, 1, 1)
    assert seen["open"]
    assert seen["again"].startswith("python -m verification run K2")
    assert seen["alone"] == "python -m verification run K2 --fresh --where n=7"
    assert seen["requests"] == []
    assert seen["errors"] == []
    assert seen["sorted"] == 25
