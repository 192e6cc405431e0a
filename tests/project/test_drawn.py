"""Tests that draw their inputs: a slow machine fails none of them, and what one says for itself keeps that."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parents[1]


def test_nothing_that_is_drawn_is_timed() -> None:
    assert (settings().deadline, settings().derandomize) == (None, True)
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_settings_of_one_test_keep_it() -> None:
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "settings(" not in text:
            continue
        for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) != "settings":
                continue
            given = {one.arg: ast.unparse(one.value) for one in call.keywords}
            where = f"{path.relative_to(TESTS)}, line {call.lineno}"
            assert "deadline" not in given, f"{where}: the deadline is that of tests/conftest.py"
            checks = given.get("suppress_health_check", "too_slow")
            assert "too_slow" in checks or checks == "list(HealthCheck)", f"{where} lets a slow machine fail"
