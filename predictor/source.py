"""The source of predict.py: the modules of this package in one file that is whole in itself."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

MODULES = (
    "errors",
    "items",
    "words",
    "pieces",
    "images",
    "settings_check",
    "readers",
    "files",
    "graph_check",
    "ports",
    "numpy_runtime",
    "openvino_runtime",
    "litert_runtime",
    "runtimes",
    "runtime",
    "cascade",
    "command_line",
)
"""In an order in which each needs only those before it. The last one's docstring is the file's."""

_PACKAGE = "predictor"


@cache
def predict_source() -> bytes:
    """What is written into bundles as predict.py.

    Imports of the modules are gathered at the top, those from each other left out, and what they define follows in
    order. So the modules must not define a name twice, nor rename what they import from each other.
    """
    imports, typing_only = _Imports(), _Imports()
    bodies = []
    doc = ""
    for name in MODULES:
        text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        tree = ast.parse(text)
        doc = ast.get_docstring(tree, clean=False) or ""
        begin = 0
        for statement in tree.body[1:]:
            if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
                for inner in statement.body:
                    typing_only.add(inner)
            elif not imports.add(statement):
                break
            begin = statement.end_lineno or 0
        bodies.append("\n".join(text.splitlines()[begin:]).strip("\n"))
    head = [f'"""{doc}"""', "from __future__ import annotations", "\n".join(imports.lines())]
    if lines := typing_only.lines():
        head.append("if TYPE_CHECKING:\n" + "\n".join(f"    {line}" for line in lines))
    end = 'if __name__ == "__main__":\n    sys.exit(main())\n'
    return "\n\n\n".join(["\n\n".join(head), *bodies, end]).encode()


class _Imports:
    """Imports from elsewhere, each once."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._names: dict[str, set[str]] = {}

    def add(self, statement: ast.stmt) -> bool:
        """Whether it is an import."""
        if isinstance(statement, ast.Import):
            self._plain.update(ast.unparse(ast.Import([alias])) for alias in statement.names)
            return True
        if not isinstance(statement, ast.ImportFrom) or statement.module is None:
            return False
        if statement.module != "__future__" and statement.module.partition(".")[0] != _PACKAGE:
            self._names.setdefault(statement.module, set()).update(ast.unparse(alias) for alias in statement.names)
        return True

    def lines(self) -> list[str]:
        """In the order of their modules."""
        froms = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self._names.items())]
        return [*sorted(self._plain), *froms]
