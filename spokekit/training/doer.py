"""What a learner does, as short verbs over the real services: for solutions, wrong turns and "show me"."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from spokekit.connections.scopes import DEFAULT_SCOPES
from spokekit.errors import Cancelled, ConsentError, NotFound, SpokekitError
from spokekit.oauth.receivers import callback_known_to, make_receiver
from spokekit.training.browser import play_browser

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.audit.audit import Audit
    from spokekit.audit.history.snapshot import Snapshot
    from spokekit.connections.connection import Connection
    from spokekit.groups.membership import Membership
    from spokekit.groups.result import Result
    from spokekit.handover import Outcome, Plan
    from spokekit.practice.instance import RemoteInstance
    from spokekit.training.attempts import Attempt
    from spokekit.training.seen import Seen, SiteState

PATIENCE = 90.0
PACE = 50.0
"""Changes a second: nobody watches."""


class Doer:
    """Does in one attempt what a person does in the components. Raises what the services raise.

    Verbs that have no result of their own return the doer, so that they stand in a row.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.notes: dict[str, Any] = {}
        """What `Lesson.prepare` wants `Seen.marks.extra` to hold."""

    @property
    def work(self) -> Workspace:
        """The attempt's workspace."""
        return self._attempt.workspace

    @property
    def connection(self) -> Connection:
        """The default alias's connection."""
        return self.work.connection()

    def look(self) -> Seen:
        """Return the state as a check sees it now."""
        return self._attempt.seen()

    @property
    def site(self) -> SiteState:
        """The practice site's state now."""
        return self._attempt.desk.state()

    def order(self, *orders: Mapping[str, Any]) -> Doer:
        """Let the practice site do something: what a colleague, an administrator or the time does."""
        self._attempt.desk.order(*orders)
        return self

    # -- console -------------------------------------------------------------------------------------------------------

    def callback_urls(self, uris: Iterable[str], *, client_id: str = "") -> Doer:
        """Save the callback URLs of an app in the console; without an id, of the connection's app."""
        self._attempt.desk.console(client_id or self.connection.client_id, redirect_uris=tuple(uris))
        return self

    def tick(self, scopes: Iterable[str], *, client_id: str = "") -> Doer:
        """Tick exactly these scopes of an app in the console; without an id, of the connection's app."""
        self._attempt.desk.console(client_id or self.connection.client_id, scopes=tuple(scopes))
        return self

    # -- connection ----------------------------------------------------------------------------------------------------

    def draft(self, **changes: Any) -> ConnectionDraft:
        """Return a form filled in for the practice site; `changes` are fields.

        The redirect URI is the one that fits where this runs, of those that the app knows.
        """
        about = self._attempt.desk.about
        app = self.site.app(about["client_id"])
        fields = {name: about[name] for name in ("url", "auth_url", "client_id")}
        fields["redirect_uri"] = callback_known_to((app and app.redirect_uris) or about["redirect_uris"])
        return ConnectionDraft(**{**fields, **changes})

    def save(self, *, secret: bool = True, **changes: Any) -> Connection:
        """Save a new connection on the default alias, with its client secret."""
        saved = self.work.connections.save(self.draft(**changes))
        if secret:
            self.type_secret(connection=saved)
        return saved

    def add_connection(self, name: str) -> Connection:
        """Add a second connection, on a child alias, with its client secret."""
        saved = self.work.connections.add_child(self.draft(name=name))
        self.type_secret(connection=saved)
        return saved

    def type_secret(self, text: str = "", *, connection: Connection | None = None) -> Doer:
        """Save a client secret: the right one, or what somebody typed instead."""
        wanted = connection or self.connection
        right = self._attempt.desk.secret_of(wanted.client_id)
        self.work.tokens.set_client_secret(wanted, Secret(text) if text else right)
        return self

    def edit(self, **changes: Any) -> Connection:
        """Change fields of the connection."""
        return self.work.connections.edit(self.connection.connection_id, **changes)

    def remove_connection(self) -> Doer:
        """Remove the connection."""
        self.work.connections.remove(self.connection.connection_id)
        return self

    def consent(
        self,
        decision: Literal["accept", "cancel"] = "accept",
        *,
        site: str | None = None,
        connection: Connection | None = None,
    ) -> bool:
        """Press Get OAuth Token, and a button on the consent page. False when no token came of it.

        Without `site`, a token for several sites is kept without one. The address of the page after the consent is
        pasted: nothing has to listen on it, whoever has its port and wherever it leads.
        """
        from spokekit.oauth.grant import get_token

        wanted = connection or self.connection
        receiver = make_receiver("paste", wanted.redirect_uri)
        closed = threading.Event()

        def browse(address: str) -> None:
            def there() -> None:
                try:
                    play_browser(Secret(address), decision, paste=receiver.deliver)
                except ConsentError:
                    # The page shows an error and sends nobody back: the person closes it.
                    closed.set()

            threading.Thread(target=there, daemon=True).start()

        try:
            get_token(
                self.work,
                wanted,
                receiver=receiver,
                show_address=browse,
                site=site,
                confirm_account=lambda _: True,
                timeout=PATIENCE,
                cancel=closed,
            )
        except SpokekitError:
            return False
        return True

    # -- groups and members --------------------------------------------------------------------------------------------

    def register(self, *names: str) -> Doer:
        """Register groups by name."""
        with self.work.spoke() as spoke:
            groups = spoke.look_up_groups()
        ids = {group.name: group.group_id for group in self.site.groups.values()}
        self.work.registry().add([ids[name] for name in names], groups=groups)
        return self

    def unregister(self, *names: str) -> Doer:
        """Take groups out of the registered ones."""
        ids = {group.name: group.group_id for group in self.site.groups.values()}
        self.work.registry().remove([ids[name] for name in names])
        return self

    def _membership(self) -> closing[Membership]:
        from spokekit.groups.membership import Membership

        return closing(Membership.of(self.work, pace=PACE))

    def change(
        self, mode: Literal["add", "remove", "sync"], group: str, people: Iterable[str], *, cancel_after: int = 0
    ) -> Result:
        """Plan, preview and apply one change in a registered group; `cancel_after` so many rows, press Cancel."""
        cancel = threading.Event()

        def listen(progress: Any) -> None:
            if cancel_after and progress.done >= cancel_after:
                cancel.set()

        with self._membership() as members:
            plan = members.plan(list(people), mode, group=self.site.groups[group].group_id)
            preview = members.preview(plan)
            return members.apply(preview, confirm=preview.confirmation, progress=listen, cancel=cancel)

    def resume(self) -> Result:
        """Resume the latest apply that is not finished."""
        with self._membership() as members:
            rest = members.preview_resume()
            return members.resume(rest, confirm=rest.confirmation)

    def undo(self) -> Result:
        """Undo the last apply."""
        with self._membership() as members:
            preview = members.preview(members.plan_undo())
            return members.apply(preview, confirm=preview.confirmation)

    def drop(self) -> Doer:
        """Decide not to go on with the latest apply that is not finished."""
        with self._membership() as members:
            members.drop()
        return self

    # -- audit ---------------------------------------------------------------------------------------------------------

    def walk(
        self,
        groups: str = "all",
        *,
        spaces: bool = False,
        fresh: bool = False,
        stop_after: int = 0,
    ) -> Snapshot | None:
        """Walk the site; `stop_after` so many groups, press Cancel, and return None."""
        from spokekit.audit.walk.walk import Walk

        cancel = threading.Event()

        with self._slowed(cancel, stop_after), self.work.spoke() as spoke:
            walk = Walk(spoke, groups=groups, registry=self.work.registry(), with_spaces=spaces, fresh=fresh)
            try:
                return walk.run(cancel=cancel)
            except Cancelled:
                return None

    @contextmanager
    def _slowed(self, cancel: threading.Event, after: int) -> Iterator[None]:
        """Let the site answer slowly until so many groups were read, so that Cancel comes in the middle."""
        if not after:
            yield
            return
        begun = self.site.counts.get("members", 0)
        self.order({"do": "faults", "add": ["stall:1@members"]})

        def watch() -> None:
            while not cancel.wait(0.05):
                if self.site.counts.get("members", 0) - begun >= after:
                    cancel.set()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            cancel.set()
            watching.join()
            self.order({"do": "faults", "clear": ["stall"]})

    def audit(self) -> Audit:
        """Return the audit of the newest snapshot."""
        from spokekit.audit.audit import Audit

        snapshot = self.look().snapshot
        if snapshot is None:
            raise NotFound("There is no snapshot yet.", hint="Walk the site first.")
        return Audit.of_snapshot(snapshot)

    def review(self, question: str) -> Any:
        """List the findings of a question on the newest snapshot, as the panel does."""
        from spokekit.audit.findings import Findings

        audit = self.audit()
        return Findings(audit.site).review(audit, question)

    def accept(self, ids: Iterable[str], *, reason: str, by: str = "Kim Example", until: date | None = None) -> Doer:
        """Accept findings."""
        from spokekit.audit.findings import Findings

        Findings(self.connection.cloud_id or "").accept(list(ids), reason=reason, by=by, until=until)
        return self

    # -- hand-over -----------------------------------------------------------------------------------------------------

    def make_instance_app(self, name: str) -> str:
        """Make the instance's own app in the console, with its redirect URL; returns the client id."""
        from spokekit.handover.plan import instance_of
        from spokekit.handover.records import redirect_url

        uris = [redirect_url(instance_of(self.look().instance.url))]
        scopes = [scope for scope in DEFAULT_SCOPES if scope != "offline_access"]
        order = {"do": "create-app", "name": name, "scopes": scopes, "redirect_uris": uris}
        (made,) = self._attempt.desk.results(order)
        return str(made["client_id"])

    def plan(self, client_id: str = "") -> Plan:
        """Return the plan for the practice instance; `client_id` is that of its own app."""
        return self.look().plan_with(client_id)

    @property
    def instance(self) -> RemoteInstance:
        """The practice instance, for what an administrator does on it."""
        from spokekit.practice.instance import RemoteInstance

        return RemoteInstance(self._attempt.desk.instance())

    def import_plan(self, client_id: str = "") -> Doer:
        """Import the plan's XML on the instance, by its **Import XML**."""
        from spokekit.handover import files

        instance = self.instance
        for name, data in files(self.plan(client_id)).items():
            if name.startswith("unload/"):
                instance.import_xml(data)
        return self

    def hand_over(
        self, client_id: str = "", *, only: Iterable[tuple[str, str]] | None = None, groups: bool = False
    ) -> Outcome:
        """Preview the plan, confirm each difference (`only` of these tables and columns), and write it."""
        from spokekit.handover import HandOver, Step

        over = HandOver(self.work.store, self.look().instance.url, self._attempt.desk.sign_in(), pace=PACE)
        plan, wanted = self.plan(client_id), None if only is None else set(only)
        first = over.preview(plan, groups=groups)
        update = [
            step.confirm
            for step in first.rows
            if isinstance(step, Step) and step.confirm and (wanted is None or (step.table, *step.after) in wanted)
        ]
        preview = over.preview(plan, update=update, groups=groups)
        return over.apply(preview, confirm=preview.confirmation)

    def type_instance_secret(self, client_id: str) -> Doer:
        """Type the client secret of an app into the registry of the instance."""
        secret = self._attempt.desk.secret_of(client_id).reveal()
        (registry,) = self.look().instance.records["oauth_entity"]
        self.order({"do": "instance-secret", "registry": registry, "secret": secret})
        return self

    def get_instance_token(self) -> bool:
        """Press Get OAuth Token on the credential of the instance. False when no token came."""
        (credential,) = self.look().instance.records["oauth_2_0_credentials"]
        (result,) = self._attempt.desk.results({"do": "instance-token", "credential": credential})
        return not result["refused"]

    # -- answers -------------------------------------------------------------------------------------------------------

    def answer(self, *chosen: str) -> Doer:
        """Answer the lesson's question."""
        self._attempt.answer(*chosen)
        return self
