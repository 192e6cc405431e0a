"""The same questions on Spark, through Ibis, with equal rows; and translated for engines that are not here."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spokekit.audit import Audit
from spokekit.audit.history.tables import NAMES
from spokekit.audit.questions.registry import REGISTRY
from spokekit.audit.warehouse import Warehouse, compile_question, tables_to, translate
from spokekit.errors import InputError, NotFound
from tests.audit.worlds import SITE, account, four_days

ibis = pytest.importorskip("ibis")
QUESTIONS = sorted(REGISTRY.questions)
ASKED: dict[str, Any] = {
    "group": "confluence-users",
    "space": "HANDBOOK",
    "all_of": "confluence-users, okta-engineering",
}


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return four_days(tmp_path_factory.mktemp("snapshots"))


@pytest.fixture(scope="module")
def tables(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse") / "tables"
    assert [path.stem for path in tables_to(audit, folder)] == list(NAMES)
    with pytest.raises(InputError, match="is there already"):
        tables_to(audit, folder)
    return folder


@pytest.fixture(scope="module")
def spark(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    pyspark = pytest.importorskip("pyspark.sql")
    place = tmp_path_factory.mktemp("spark")
    on_interrupt = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        # Spark warns that it does not know pandas 3 yet; its frames are not used here, Arrow is.
        warnings.simplefilter("ignore")
        session = (
            pyspark.SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "1")
            # The tables are small: planning and compiling each query took longer than all of its rows.
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
            .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.warehouse.dir", str(place))
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("ERROR")
        for name in NAMES:
            # Other names than ours, as a company has them.
            session.read.parquet(str(tables / f"{name}.parquet")).createOrReplaceTempView(f"confluence_{name}")
        yield Warehouse(ibis.pyspark.connect(session), tables={n: f"confluence_{n}" for n in NAMES}, site=SITE)
        session.stop()
    # Spark puts a handler of its own there, which fails once its session is over.
    signal.signal(signal.SIGINT, on_interrupt)


def params(name: str) -> dict[str, Any]:
    have = {**ASKED, "person": account(27)}
    return {p.name: have[p.name] for p in REGISTRY.questions[name].params if p.required}


@pytest.mark.filterwarnings("ignore")
def test_every_question_gives_the_same_rows_on_spark(audit: Audit, spark: Warehouse) -> None:
    for name in QUESTIONS:
        here, there = audit.ask(name, **params(name)), spark.ask(name, **params(name))
        pd.testing.assert_frame_equal(here, there, obj=name)
        assert there.attrs["question"] == name and there.attrs["site"] == "Class"
    expression = spark.expression("changes-since", days=100)
    assert expression.count().to_pyarrow().as_py() == len(audit.ask("changes-since", days=100))
    with pytest.raises(NotFound, match="Did you mean marketing-emea"):
        spark.ask("spaces-of-group", group="marketingg")


@pytest.mark.parametrize("dialect", ["trino", "bigquery", "snowflake", "databricks"])
def test_every_question_is_translated(dialect: str) -> None:
    import sqlglot

    for name in QUESTIONS:
        numbers = {p.name: (4, 5) if p.kind == "groups" else 3 for p in REGISTRY.questions[name].params}
        text = compile_question(name, dialect, tables={"groups": "it.confluence.groups"}, **numbers)
        # What comes out is a query of that engine, with the columns of the contract.
        again = sqlglot.parse_one(text, read=dialect)
        assert set(again.named_selects) == set(REGISTRY.questions[name].columns)
        assert "$" not in text
        own = {cte.alias for cte in again.find_all(sqlglot.exp.CTE)}
        named = {table.name: table.db for table in again.find_all(sqlglot.exp.Table) if table.name not in own}
        assert named.get("groups", "confluence") == "confluence"
        assert set(named) <= set(NAMES)


def test_values_are_written_as_the_engine_quotes_them() -> None:
    text = translate("SELECT 1 AS x FROM groups WHERE name = $text", "bigquery", {"text": 'O\'Neill \\ "x"'})
    assert text == "SELECT 1 AS `x` FROM `groups` WHERE `name` = 'O\\'Neill \\\\ \"x\"'"
    with pytest.raises(InputError, match="needs a value for text"):
        translate("SELECT $text", "trino", {})
    with pytest.raises(InputError, match="'oracle' is not known here"):
        translate("SELECT 1", "oracle", {})
    with pytest.raises(InputError, match="There is no table people"):
        Warehouse(None, tables={"people": "x"})
