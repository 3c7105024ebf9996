"""predict.py, put together from the modules of the predictor."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import predictor
from predictor.source import MODULES, predict_source

FOLDER = Path(predictor.__file__).parent


def defined(tree: ast.Module) -> list[str]:
    names = []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.append(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names += [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return names


def test_every_module_of_the_package_is_in_it():
    assert set(MODULES) | {"__init__", "source", "collect"} == {path.stem for path in FOLDER.glob("*.py")}


def test_all_that_the_modules_define_is_in_it_once():
    expected = [name for module in MODULES for name in defined(ast.parse((FOLDER / f"{module}.py").read_text("utf-8")))]
    expected.append("TYPE_CHECKING")
    found = Counter(defined(ast.parse(predict_source())))
    assert found == Counter(expected)
    assert [name for name, times in found.items() if times > 1] == []


def test_it_imports_nothing_of_the_project():
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(predict_source()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.partition(".")[0] for name in imported} & {"predictor", "models", "winnow", "worker"} == set()


def test_modules_rename_nothing_that_they_import_from_each_other():
    for module in MODULES:
        for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("predictor"):
                assert [alias.name for alias in node.names if alias.asname] == [], module


def test_its_docstring_says_how_it_is_called():
    assert "python predict.py --file in.jsonl" in (ast.get_docstring(ast.parse(predict_source())) or "")
