"""What the run says at its end about the contract."""

from __future__ import annotations

from typing import Any

from tests.contract.judge import MISSING, the_judge


def pytest_terminal_summary(terminalreporter: Any) -> None:
    judge = the_judge()
    if judge is None:
        terminalreporter.write_line(MISSING, red=True, bold=True)
    else:
        terminalreporter.write_line(judge.summary())
