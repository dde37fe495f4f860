"""Build a notebook from a script in percent format: python examples/notebook.py examples/lesson.py."""

import json
import re
import sys
from pathlib import Path


def notebook(script: str) -> dict[str, object]:
    """The cells of a script: `# %% [markdown]` begins one of text, `# %%` one of code."""
    cells: list[dict[str, object]] = []
    for head, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*(?:\n|\Z))*)", script, re.MULTILINE):
        text = "markdown" in head
        source = re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE) if text else body.strip()
        cell: dict[str, object] = {
            "cell_type": "markdown" if text else "code",
            "id": f"cell-{len(cells)}",
            "metadata": {},
            "source": source,
        }
        cells.append(cell if text else cell | {"execution_count": None, "outputs": []})
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.with_suffix(".ipynb").write_text(json.dumps(notebook(path.read_text(encoding="utf-8")), indent=1) + "\n")
