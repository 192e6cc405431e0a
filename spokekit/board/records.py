"""What is kept of classes: one SQLite file, in which a class is a row with its learners, events and orders.

Of a key only the digest is kept. A time is POSIX seconds: of an event by the learner's clock (`at`) and by the board's
(`came`), of everything else by the board's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event

from spokekit._home import home, private_folder
from spokekit.board import joining
from spokekit.board.wire import Done, Noted, Now, Ordered, order_of
from spokekit.connections.store import Store, metadata
from spokekit.errors import NotFound

DAYS_KEPT = 30
GOES_ON_SECONDS = 86_400.0
"""A class that began longer ago is not gone on with: a new one begins."""
MOST_LINKS = 50
MOST_CERTIFICATES = 20

classes = sa.Table(
    "classes",
    metadata,
    sa.Column("class_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("code", sa.String(20), nullable=False),
    sa.Column("lessons", sa.Text, nullable=False),
    sa.Column("began", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)


def _of_a_class(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """Return a table whose key begins with a class, and whose rows go with it."""
    own: sa.Column[Any] = sa.Column("class_id", sa.ForeignKey("classes.class_id", ondelete="CASCADE"), primary_key=True)
    return sa.Table(name, metadata, own, *columns)


class_links = sa.Table(
    "class_links",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("class_id", sa.ForeignKey("classes.class_id", ondelete="CASCADE"), nullable=False),
    sa.Column("made", sa.Float, nullable=False),
)
class_learners = _of_a_class(
    "class_learners",
    sa.Column("learner", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pseudonym", sa.String(40), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("joined", sa.Float, nullable=False),
    sa.Column("after", sa.Integer, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("now", sa.Text, nullable=False),
)
class_events = _of_a_class(
    "class_events",
    sa.Column("learner", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("came", sa.Float, nullable=False),
    sa.Column("lesson", sa.String(80), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("event", sa.String(12), nullable=False),
    sa.Column("outcome", sa.String(24), nullable=False),
    sa.Column("turn", sa.String(80), nullable=False),
)
class_orders = _of_a_class(
    "class_orders",
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("learner", sa.Integer, nullable=True),
    sa.Column("told", sa.Text, nullable=False),
)
class_done = _of_a_class(
    "class_done",
    sa.Column("learner", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("outcome", sa.String(12), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("why", sa.String(24), nullable=False),
)
class_certificates = sa.Table(
    "class_certificates",
    metadata,
    sa.Column("code", sa.String(20), primary_key=True),
    sa.Column("class_id", sa.ForeignKey("classes.class_id", ondelete="CASCADE"), nullable=False),
    sa.Column("learner", sa.Integer, nullable=False),
    sa.Column("told", sa.LargeBinary, nullable=False),
    sa.Column("made", sa.Float, nullable=False),
)
_TABLES = (classes, class_links, class_learners, class_events, class_orders, class_done, class_certificates)
_OF_A_LEARNER = ("pseudonym", "name", "digest", "seed", "joined", "after", "seen")
"""Columns of `class_learners` that are fields of `Learner` as they stand."""
M = TypeVar("M", Noted, Done)


class Forgotten(NotFound):
    """The class was removed from the file meanwhile."""


@dataclass
class Learner:
    """A learner and all that is kept of them. `after` is the last order that was given before they joined."""

    number: int
    pseudonym: str
    name: str
    digest: str
    seed: int
    joined: float
    after: int
    seen: float
    now: Now = field(default_factory=Now)
    events: dict[int, Noted] = field(default_factory=dict)
    came: dict[int, float] = field(default_factory=dict)
    done: dict[int, Done] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Learner({self.number})"

    def noted(self) -> list[Noted]:
        """Return the events in the order in which the learner noted them."""
        return [self.events[seq] for seq in sorted(self.events)]

    def kept(self) -> int:
        """Return the last event that is kept without a gap after the first."""
        seq = min(self.events, default=0)
        while seq + 1 in self.events:
            seq += 1
        return seq


@dataclass(frozen=True)
class Given:
    """An order that was given, to one learner or, with None, to all."""

    ordered: Ordered
    to: int | None

    def is_for(self, learner: Learner) -> bool:
        """Whether a learner gets it: who joined later does not."""
        return self.ordered.n > learner.after and self.to in (None, learner.number)


@dataclass
class Kept:
    """A class as it is kept."""

    class_id: int
    name: str
    code: str
    lessons: tuple[str, ...]
    began: float
    learners: dict[int, Learner] = field(default_factory=dict)
    orders: list[Given] = field(default_factory=list)


def class_file() -> Path:
    """Return where the classes of this home are kept."""
    return private_folder(home() / "class") / "class.sqlite"


class Records:
    """The file with the classes of a home; each method is one transaction.

    Parameters
    ----------
    path:
        The file; it is made for its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(sa.URL.create("sqlite", database=str(path)))
        # What is deleted leaves nothing behind in the file.
        event.listen(self.store.engine, "connect", lambda db, _: db.execute("PRAGMA secure_delete=ON"))
        self.store.ensure(*_TABLES)

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    # -- classes -----------------------------------------------------------------------------------------------

    def newest(self) -> int | None:
        """Return the id of the class that began last; None when there is none."""
        with self.store.read() as db:
            found: int | None = db.execute(sa.select(sa.func.max(classes.c.class_id))).scalar()
            return found

    def all_ids(self) -> list[int]:
        """Return the ids of all classes that are kept, oldest first."""
        with self.store.read() as db:
            return list(db.execute(sa.select(classes.c.class_id).order_by(classes.c.class_id)).scalars())

    def begin(self, name: str, lessons: tuple[str, ...], now: float) -> int:
        """Begin a class and return its id."""
        values = {"name": name, "code": joining.new_code(), "lessons": json.dumps(lessons), "began": now}
        with self.store.write() as db:
            made: Any = db.execute(classes.insert().values(values)).inserted_primary_key
            return int(made[0])

    def rename(self, class_id: int, name: str, lessons: tuple[str, ...]) -> None:
        """Give a class another name and other lessons."""
        with self.store.write() as db:
            db.execute(
                classes.update().where(classes.c.class_id == class_id).values(name=name, lessons=json.dumps(lessons))
            )

    def let_in(self, class_id: int, key: str, now: float) -> frozenset[str]:
        """Keep the digest of a new key of the trainer's; returns all digests that let a browser in."""
        mine = class_links.c.class_id == class_id
        with self.store.write() as db:
            db.execute(class_links.insert().values(digest=joining.digest(key), class_id=class_id, made=now))
            found = list(
                db.execute(sa.select(class_links.c.digest).where(mine).order_by(class_links.c.made.desc())).scalars()
            )
            for old in found[MOST_LINKS:]:
                db.execute(class_links.delete().where(class_links.c.digest == old))
        return frozenset(found[:MOST_LINKS])

    def load(self, class_id: int) -> Kept:
        """Return a class; raises `Forgotten`."""
        with self.store.read() as db:
            row = db.execute(sa.select(classes).where(classes.c.class_id == class_id)).mappings().first()
            if row is None:
                raise Forgotten("This class was deleted.")
            kept = Kept(class_id, row["name"], row["code"], tuple(json.loads(row["lessons"])), row["began"])

            def rows(table: sa.Table, *order: Any) -> Any:
                return db.execute(sa.select(table).where(table.c.class_id == class_id).order_by(*order)).mappings()

            for one in rows(class_learners, class_learners.c.learner):
                now = msgspec.json.decode(one["now"], type=Now)
                kept.learners[one["learner"]] = Learner(
                    one["learner"], **{name: one[name] for name in _OF_A_LEARNER}, now=now
                )
            for one in rows(class_events, class_events.c.seq):
                learner = kept.learners[one["learner"]]
                learner.events[one["seq"]] = _read(one, Noted)
                learner.came[one["seq"]] = one["came"]
            for one in rows(class_orders, class_orders.c.n):
                order = order_of(json.loads(one["told"]))
                kept.orders.append(Given(Ordered(one["n"], one["at"], order), one["learner"]))
            for one in rows(class_done, class_done.c.n):
                kept.learners[one["learner"]].done[one["n"]] = _read(one, Done)
        return kept

    # -- what comes in -------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, class_id: int) -> Iterator[sa.Connection]:
        """Write to a class; raises `Forgotten`."""
        with self.store.write() as db:
            if not _is_there(db, class_id):
                raise Forgotten("This class was deleted.")
            yield db

    def is_there(self, class_id: int) -> bool:
        """Whether the class is still kept."""
        with self.store.read() as db:
            return _is_there(db, class_id)

    def add_learner(self, class_id: int, learner: Learner) -> None:
        """Keep a new learner."""
        values = {name: getattr(learner, name) for name in _OF_A_LEARNER}
        values |= {"class_id": class_id, "learner": learner.number, "now": msgspec.json.encode(learner.now).decode()}
        with self._writing(class_id) as db:
            db.execute(class_learners.insert().values(values))

    def change_learner(self, class_id: int, number: int, **values: Any) -> None:
        """Keep another name, another `now`, or when a learner was seen."""
        self.report(class_id, number, values, (), (), 0.0)

    def report(
        self,
        class_id: int,
        number: int,
        values: dict[str, Any],
        events: tuple[Noted, ...],
        done: tuple[Done, ...],
        came: float,
    ) -> None:
        """Keep new events, what became of orders, and what changed of a learner."""
        mine = {"class_id": class_id, "learner": number}
        with self._writing(class_id) as db:
            db.execute(class_learners.update().where(_of(class_learners, class_id, number)).values(values))
            if events:
                db.execute(
                    class_events.insert(), [mine | msgspec.structs.asdict(one) | {"came": came} for one in events]
                )
            for one in done:
                db.execute(class_done.delete().where(_of(class_done, class_id, number), class_done.c.n == one.n))
                db.execute(class_done.insert().values(mine | msgspec.structs.asdict(one)))

    def seen(self, class_id: int, when: dict[int, float]) -> None:
        """Keep when learners were seen; raises `Forgotten`."""
        with self._writing(class_id) as db:
            for number, at in when.items():
                db.execute(class_learners.update().where(_of(class_learners, class_id, number)).values(seen=at))

    def order(self, class_id: int, given: Given) -> None:
        """Keep an order."""
        told = msgspec.json.encode(given.ordered.order).decode()
        values = {"class_id": class_id, "n": given.ordered.n, "at": given.ordered.at, "learner": given.to, "told": told}
        with self._writing(class_id) as db:
            db.execute(class_orders.insert().values(values))

    # -- certificates ----------------------------------------------------------------------------------------------

    def certify(self, class_id: int, number: int, code: str, told: bytes) -> None:
        """Keep a certificate; of more than `MOST_CERTIFICATES` of a learner the first goes."""
        t = class_certificates
        values = {"code": code, "class_id": class_id, "learner": number, "told": told, "made": time.time()}
        with self._writing(class_id) as db:
            db.execute(t.insert().values(values))
            newest = sa.select(t.c.code).where(_of(t, class_id, number)).order_by(t.c.made.desc())
            for old in list(db.execute(newest).scalars())[MOST_CERTIFICATES:]:
                db.execute(t.delete().where(t.c.code == old))

    def newest_certificate(self, class_id: int, number: int) -> bytes | None:
        """Return the learner's newest certificate; None when there is none."""
        return self._certificate(_of(class_certificates, class_id, number))

    def certificate(self, code: str) -> bytes | None:
        """Return a certificate by its code, of whichever class; None when there is none."""
        return self._certificate(class_certificates.c.code == code)

    def _certificate(self, which: sa.ColumnElement[bool]) -> bytes | None:
        newest = sa.select(class_certificates.c.told).where(which).order_by(class_certificates.c.made.desc())
        with self.store.read() as db:
            found: bytes | None = db.execute(newest).scalar()
            return found

    # -- the end -----------------------------------------------------------------------------------------------------

    def forget(self, before: float | None = None) -> int:
        """Delete all classes, or those that began `before` a time, and return how many; nothing of them stays here."""
        with self.store.write() as db:
            which = sa.true() if before is None else classes.c.began < before
            gone = db.execute(classes.delete().where(which)).rowcount
        if gone:
            self._clean()
        return int(gone)

    def forget_old(self, now: float | None = None) -> int:
        """Delete the classes that began more than `DAYS_KEPT` days ago."""
        return self.forget((time.time() if now is None else now) - DAYS_KEPT * 86_400)

    def _clean(self) -> None:
        """Write the file anew and empty its journal, in which pages stand as they were."""
        with self.store.engine.connect() as db:
            raw: Any = db.connection.driver_connection
            raw.execute("VACUUM")
            for _ in range(50):
                if raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                    break
                # Somebody reads just now.
                time.sleep(0.02)


def _is_there(db: sa.Connection, class_id: int) -> bool:
    return db.execute(sa.select(classes.c.class_id).where(classes.c.class_id == class_id)).first() is not None


def _of(table: sa.Table, class_id: int, learner: int) -> sa.ColumnElement[bool]:
    return (table.c.class_id == class_id) & (table.c.learner == learner)


def _read(row: Mapping[str, Any], kind: type[M]) -> M:
    return msgspec.convert({name: row[name] for name in kind.__struct_fields__}, kind)
