"""The same questions where the company's data lives: Spark, Trino, BigQuery, Snowflake, Databricks, through Ibis.

A question is written once, in SQL. On this machine DuckDB runs it; here it is translated (by sqlglot, which Ibis
brings) and run by the engine behind an Ibis connection. `tables_to` writes the tables for the warehouse to load; they
keep their names, or get others by `tables`. Needs the extra ``warehouse``. ::

    tables_to(audit, "for-the-warehouse/")             # groups.parquet, memberships.parquet, ...
    there = Warehouse(ibis.trino.connect(...), tables={"groups": "iceberg.confluence.groups", ...})
    there.ask("spaces-of-person", person="Kim Example")
    there.expression("licensed-people")                # an Ibis table, to go on from
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from spokekit._refused import told_as
from spokekit.audit import questions as _questions
from spokekit.audit.frames import Site
from spokekit.audit.history.tables import NAMES
from spokekit.audit.questions.registry import REGISTRY, QuestionList
from spokekit.audit.questions.runner import Asking, used
from spokekit.errors import InputError, NotFound

if TYPE_CHECKING:
    from spokekit.audit.audit import Audit

_ = _questions  # imported so that its questions are in the registry
DIALECTS = ("pyspark", "trino", "bigquery", "snowflake", "databricks", "duckdb", "postgres", "athena", "clickhouse")
# What sqlglot calls what Ibis calls otherwise.
_SQLGLOT = {"pyspark": "spark"}


class Warehouse(Asking):
    """Questions over tables in another engine.

    Parameters
    ----------
    connection:
        An Ibis backend, such as ``ibis.pyspark.connect(session)``.
    tables:
        For names of `spokekit.audit.history.tables` what they are called there, with catalog and schema where needed.
    site:
        For ``attrs`` of the answers.
    """

    def __init__(
        self,
        connection: Any,
        *,
        tables: Mapping[str, str] | None = None,
        site: Site | str = "",
        registry: QuestionList = REGISTRY,
    ) -> None:
        self.connection = connection
        self.tables = _checked(tables)
        self.site = site if isinstance(site, Site) else Site(site)
        self.registry = registry
        self.completeness = {}

    def __repr__(self) -> str:
        return f"Warehouse({self.connection.name})"

    def expression(self, name: str, /, **params: Any) -> Any:
        """Return a question as an Ibis table expression. Raises what `ask` raises."""
        asked = self.registry.get(name)
        given = asked.arguments(params)
        known = {p.name: self.resolve(p, given[p.name]) for p in asked.params}
        if asked.takes_audit:
            raise InputError(f"The question {name} is Python and no SQL: ask it.", field="name")
        text = asked.function(**known)
        return self._table(text, used(text, known))

    def run_frame(self, text: str, bound: Mapping[str, Any]) -> pd.DataFrame:
        """See `Asking.run_frame`."""
        made: pd.DataFrame = self._table(text, bound).to_pyarrow().to_pandas()
        return made

    def run_rows(self, text: str, bound: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """See `Asking.run_rows`."""
        table = self._table(text, bound).to_pyarrow()
        return [tuple(row.values()) for row in table.to_pylist()]

    def times(self) -> list[tuple[int, datetime]]:
        """See `Asking.times`."""
        rows = self.run_rows("SELECT number, taken_at FROM moments ORDER BY number", {})
        if not rows:
            raise NotFound("The table moments is empty.", hint="Load the tables of a snapshot first.")
        return [(int(n), t.astimezone(UTC) if t.tzinfo else t.replace(tzinfo=UTC)) for n, t in rows]

    def _table(self, text: str, bound: Mapping[str, Any]) -> Any:
        return self.connection.sql(translate(text, self.connection.name, bound, tables=self.tables))


def compile_question(
    name: str,
    dialect: str,
    /,
    *,
    tables: Mapping[str, str] | None = None,
    registry: QuestionList = REGISTRY,
    **numbers: Any,
) -> str:
    """Return a question as SQL of `dialect` (one of `DIALECTS`), without asking anybody.

    Parameters
    ----------
    numbers:
        What its parameters stand for: the numbers of groups, people, spaces or snapshots, as the tables have them.
    """
    asked = registry.get(name)
    if asked.takes_audit:
        raise InputError(f"The question {name} is Python and no SQL.", field="name")
    known = {p.name: numbers.get(p.name, () if p.kind == "groups" else None) for p in asked.params}
    text = asked.function(**known)
    return translate(text, dialect, used(text, known), tables=_checked(tables))


def translate(text: str, dialect: str, bound: Mapping[str, Any], *, tables: Mapping[str, str] | None = None) -> str:
    """Return SQL written for DuckDB as SQL of `dialect`, with values in place of ``$name`` and tables by their names
    there. Raises InputError for an unknown dialect, a missing value, or without the extra ``warehouse``."""
    try:
        import sqlglot
        from sqlglot import exp
    except ModuleNotFoundError:
        raise InputError(
            "Asking a warehouse needs Ibis.", hint="Install it: pip install 'spokekit[warehouse]'.", field="dialect"
        ) from None
    if dialect not in DIALECTS:
        raise InputError(
            f"{dialect!r} is not known here.", hint=f"Choose one of {', '.join(DIALECTS)}.", field="dialect"
        )
    tree = sqlglot.parse_one(text, read="duckdb")
    own = {cte.alias for cte in tree.find_all(exp.CTE)}

    def replaced(node: Any) -> Any:
        if isinstance(node, exp.Placeholder):
            if node.name not in bound:
                raise InputError(f"The query needs a value for {node.name}.", field=node.name)
            return exp.convert(bound[node.name])
        if isinstance(node, exp.Table) and tables and node.name in tables and node.name not in own:
            made = exp.to_table(tables[node.name])
            made.set("alias", node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name)))
            return made
        return node

    return str(tree.transform(replaced).sql(dialect=_SQLGLOT.get(dialect, dialect), identify=True))


def tables_to(audit: Audit, folder: Path | str) -> list[Path]:
    """Write the tables of `audit`, history included, as Parquet files for a warehouse to load; returns the files.

    The folder appears with all of them or not at all. Raises InputError when it exists.
    """
    target = Path(folder).expanduser()
    if target.exists():
        raise InputError(f"{target} is there already.", hint="Choose a new folder.", field="folder")
    with told_as(InputError, f"{target} cannot be written", field="folder"):
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for name in NAMES:
                pq.write_table(audit.session.arrow(f"SELECT * FROM {name}"), temporary / f"{name}.parquet")
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return [target / f"{name}.parquet" for name in NAMES]


def _checked(tables: Mapping[str, str] | None) -> dict[str, str]:
    unknown = set(tables or {}) - set(NAMES)
    if unknown:
        raise InputError(
            f"There is no table {sorted(unknown)[0]}.", hint=f"There are: {', '.join(NAMES)}.", field="tables"
        )
    return dict(tables or {})
