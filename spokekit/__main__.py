"""``python -m spokekit`` is the command ``spokekit``."""

from spokekit.cli import main

main()
