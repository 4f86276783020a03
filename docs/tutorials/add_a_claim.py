"""
A maintainer adds a claim
=========================

A claim is one decorated function in a file of its own. It names the jobs whose results it needs, and a judge turns
these into rows. No list anywhere has to be touched. A whole paper, with its bound, job, claim and figure, is four
files: ``CONTRIBUTING.md`` has the smallest example.
"""

# %%
# The file, as it stands in ``CONTRIBUTING.md``: a job that measures, and a claim that judges.

import pathlib
import re
import tempfile

from verification import commands

guide = pathlib.Path(commands.__file__).parents[1] / "CONTRIBUTING.md"
(script,) = re.findall(r'```python\n("""MINE-1.*?)```', guide.read_text(encoding="utf-8"), re.S)
print(script)

# %%
# Put it into a folder, and run it. The table has one line a claim; rows and report lie in the folder that is named.

folder = pathlib.Path(tempfile.mkdtemp())
(folder / "my_checks").mkdir()
(folder / "my_checks" / "norms.py").write_text(script, encoding="utf-8")
out = folder / "results"
code = commands.main(["run", "MINE-1", "--scripts", str(folder / "my_checks"), "--preset", "quick", "--out", str(out)])
print(f"exit code {code}: 0 where nothing is refuted and every control broke")

# %%
# Every row, with its control. A claim whose control does not break is itself broken, and not counted as verified.

from ntk_localsgd.evidence import read_evidence

for row in read_evidence(out / "evidence.json")[1]:
    print(row.where, row.verdict, f"{row.measured:.3g} {row.relation} {row.bound:.3g}", row.control.broke)
