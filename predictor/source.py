"""The source of predict.py: the modules of this package in one file that is whole in itself."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from pathlib import Path

FIRST_MODULES = (
    "errors",
    "words",
    "settings_check",
    "files",
    "contents",
    "graph_check",
    "graph_parts",
    "plain_student",
    "first_answer",
)
"""What comes before anything heavy is imported, in an order in which each module needs only those before it."""
MODULES = (
    *FIRST_MODULES,
    "items",
    "hashing",
    "pieces",
    "images",
    "readers",
    "ports",
    "numpy_runtime",
    "openvino_runtime",
    "litert_runtime",
    "executorch_runtime",
    "runtimes",
    "runtime",
    "cascade",
    "command_line",
)
"""All, in such an order. The last one's docstring is the file's."""

_PACKAGE = "predictor"
_FLAG = ("typing", "TYPE_CHECKING")
_START = """if __name__ == "__main__" and print_first(sys.argv[1:], Path(__file__).parent):
    sys.exit(0)"""
_END = 'if __name__ == "__main__":\n    sys.exit(main())\n'


@cache
def predict_source() -> bytes:
    """What is written into bundles as predict.py.

    Imports of the modules are gathered, those from each other left out, and what they define follows in order. So the
    modules must not define a name twice, nor rename what they import from each other. Called as a program, it tries to
    answer once the first modules are there, and goes on to what they do not import only where it cannot.
    """
    later = MODULES[len(FIRST_MODULES) :]
    head, first = _joined(FIRST_MODULES, _Imports())
    imports, rest = _joined(later, head)
    doc = ast.get_docstring(ast.parse(_text(MODULES[-1])), clean=False)
    # The flag is set, not imported: typing takes as long to load as a text to be answered.
    begin = [f'"""{doc}"""', "from __future__ import annotations", "TYPE_CHECKING = False", head.text()]
    parts = ["\n\n".join(begin), *first, _START, imports.text(), *rest, _END]
    return "\n\n\n".join(parts).encode()


def _joined(modules: Sequence[str], before: _Imports) -> tuple[_Imports, list[str]]:
    """What some modules import that was not imported before, and what follows their imports."""
    imports = _Imports(before)
    bodies = []
    for name in modules:
        text = _text(name)
        begin = 0
        for statement in ast.parse(text).body[1:]:
            if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
                for inner in statement.body:
                    imports.add(inner, typing_only=True)
            elif not imports.add(statement):
                break
            begin = statement.end_lineno or 0
        bodies.append("\n".join(text.splitlines()[begin:]).strip("\n"))
    return imports, bodies


def _text(module: str) -> str:
    return (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")


class _Imports:
    """Imports from elsewhere, each once."""

    def __init__(self, before: _Imports | None = None) -> None:
        self._before = before
        self._found: dict[bool, dict[tuple[str, str], None]] = {True: {}, False: {}}

    def add(self, statement: ast.stmt, *, typing_only: bool = False) -> bool:
        """Whether it is an import."""
        if isinstance(statement, ast.Import):
            names = [("", ast.unparse(alias)) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module is not None:
            inside = statement.module == "__future__" or statement.module.partition(".")[0] == _PACKAGE
            names = [] if inside else [(statement.module, ast.unparse(alias)) for alias in statement.names]
        else:
            return False
        self._found[typing_only].update(dict.fromkeys(name for name in names if name != _FLAG))
        return True

    def text(self) -> str:
        """Statements in the order of their modules, those for type checkers apart."""
        lines = self._lines(typing_only=False)
        if only := self._lines(typing_only=True):
            lines += ["if TYPE_CHECKING:", *(f"    {line}" for line in only)]
        return "\n".join(lines)

    def _lines(self, *, typing_only: bool) -> list[str]:
        before = self._before._found[False] if self._before else {}
        known = {**before, **self._found[False]} if typing_only else before
        plain: list[str] = []
        named: dict[str, list[str]] = {}
        for module, name in sorted(self._found[typing_only]):
            if (module, name) not in known:
                if module:
                    named.setdefault(module, []).append(name)
                else:
                    plain.append(f"import {name}")
        return [*plain, *(f"from {module} import {', '.join(names)}" for module, names in named.items())]
