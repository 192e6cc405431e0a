"""Chapter E: what was configured arrives on an instance, and stays as it was handed over."""

from __future__ import annotations

from spokekit.handover import records as rec
from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Named, Start, Turn
from spokekit.training.seen import InstanceSeen, Seen

APP = "ServiceNow instance"
LEFT_OUT = "confluence-admins"
GROUPS = "sn_conflunce_spoke_confluence_group"


def _hand_over_by_xml(do: Doer, *, without: str = "") -> None:
    """Bring the instance to where somebody has imported the plan and added the groups, all but one."""
    app = do.notes["instance_app"] = do.make_instance_app(APP)
    do.import_plan(app)
    groups = [group for part in do.plan(app).parts for group in part.groups if group.name != without]
    do.notes["registered"] = sorted(do.look().registered)
    do.order(
        *(
            {
                "do": "instance-record",
                "table": GROUPS,
                "sys_id": rec.sys_id(GROUPS, group.group_id),
                "values": {"group_id": group.group_id, "group_name": group.name},
            }
            for group in groups
        )
    )


def _app(do: Doer) -> str:
    return str(do.look().marks.extra["instance_app"])


def _touched(seen: Seen) -> bool:
    """Tell whether anything was done on the instance since the attempt began, whoever did it."""
    return seen.instance != seen.instance_before


def _registered_anew(seen: Seen) -> frozenset[str]:
    return seen.registered ^ frozenset(seen.marks.extra["registered"])


def _fits_the_plan(seen: Seen) -> bool:
    return not len(seen.drift) and bool(seen.drift.attrs["completeness"]["complete"])


def _redirect(seen: Seen) -> str:
    return seen.instance.first(rec.REGISTRY).get("redirect_url", "")


def _left_out(seen: Seen) -> list[str]:
    found = seen.drift
    return sorted(found[(found["kind"] == "missing") & (found["table"] == "groups table")]["record"])


class InstanceAfterAClone(Lesson):
    """The instance after a clone.

    Your test instance was cloned from production last night. Whatever was set up on it for Confluence is now as it is
    on production, or switched off, and nobody has told you. What you have configured here is as it was, and right.
    """

    name = "instance-after-a-clone"
    minutes = 12
    goal = "A comparison finds no difference: the instance is as planned here, and nothing here was changed to fit it."
    first = "Press Compare, and read what each difference means before you write anything."
    start = Start(step=4, instance=True)
    tools = ("handover",)
    hints = (
        "Each row of the comparison names what is here and what is there. The clone is there.",
        "Press “Preview what would be written”: what spokekit did not make is only changed where you choose it in "
        "“Confirm”. The groups come along when you tick “Write the registered groups as well”.",
        "Tick the groups, preview, choose both differences in “Confirm”, type the words, press “Write”, compare again.",
    )
    turns = (
        Turn(
            "fitted-here",
            lambda s: bool(_registered_anew(s)),
            "You changed here whether {changed_here} is registered, so that it fits the clone. What is here was right; "
            "the instance is what has drifted.",
            lambda s: {"changed_here": _registered_anew(s)},
            lambda do: do.unregister(LEFT_OUT),
        ),
        Turn(
            "only-switched-on",
            lambda s: _touched(s) and s.drifted("different", rec.REGISTRY, "redirect_url"),
            "The registry still sends the consent to {redirect}: whoever presses Get OAuth Token on this instance "
            "gives production a token.",
            lambda s: {"redirect": _redirect(s)},
            lambda do: do.hand_over(_app(do), only=[(rec.CONNECTION, "active")]),
        ),
        Turn(
            "without-the-groups",
            lambda s: _touched(s) and bool(_left_out(s)),
            "The records are as planned, but {left_out} is registered here and not on the instance: user management "
            "there leaves it out.",
            lambda s: {"left_out": _left_out(s)},
            lambda do: do.hand_over(_app(do)),
        ),
        Turn(
            "imported-over-it",
            lambda s: s.instance.imported > s.instance_before.imported,
            "It works: the XML of {connection} was imported over what was there. No rule of the instance has run, no "
            "journal has it, and no undo takes it back.",
            lambda s: {"connection": s.marks.name},
            lambda do: do.import_plan(_app(do)).hand_over(_app(do), groups=True),
            remark=True,
        ),
    )
    steps = (
        "Press “Compare”: the redirect URL is production's, the connection is switched off, and {group} is missing.",
        "Tick “Write the registered groups as well”, press “Preview what would be written”, and choose both "
        "differences in “Confirm”.",
        "Type the words, press “Write”, then “Compare” again: the instance is as planned.",
    )
    shown = "The instance is as planned again, each change confirmed by name, and the journal can take it back."
    at_work = (
        "At work, compare after every clone: spokekit handover compare. Tokens do not survive a clone, so Get OAuth "
        "Token comes last, by hand."
    )

    def prepare(self, do: Doer) -> None:
        _hand_over_by_xml(do, without=LEFT_OUT)
        do.type_instance_secret(do.notes["instance_app"])
        do.instance.become_a_clone()

    def facts(self, seen: Seen) -> dict[str, Named]:
        return {"group": LEFT_OUT}

    def attempted(self, seen: Seen) -> bool:
        return _touched(seen) or bool(seen.hand_overs) or bool(_registered_anew(seen))

    def right(self, seen: Seen) -> bool:
        return _fits_the_plan(seen) and not _registered_anew(seen)

    def missing(self, seen: Seen) -> str:
        found = seen.drift
        if not seen.drift.attrs["completeness"]["complete"]:
            return "Not all of the instance could be read. Compare again, and read what it says."
        return f"A comparison still finds {len(found)} differences; the first one is: {found['means'].iloc[0]}"

    def solve(self, do: Doer) -> None:
        do.hand_over(_app(do), groups=True)


def _secret_of(there: InstanceSeen) -> str:
    return next(iter(there.secrets.values()), "")


def _another(seen: Seen) -> str:
    held = _secret_of(seen.instance)
    return "" if held in ("", "unreadable", APP) else held


def _has_token(there: InstanceSeen) -> bool:
    return there.first(rec.CREDENTIAL).get("oauth_entity_profile", "-") in there.tokens


def _shared(seen: Seen) -> bool:
    return seen.instance.first(rec.REGISTRY).get("client_id") == seen.marks.client_id


class ArrivedButNoToken(Lesson):
    """Arrived, but no token.

    The plan was imported on the instance as XML on Friday, and the client secret came as XML too, from another
    instance. A comparison finds no difference. On Monday every action that the instance tries at Confluence fails.
    """

    name = "arrived-but-no-token"
    minutes = 8
    goal = "The instance holds a token by its own app, {app}, and its records are as planned."
    first = "Press Compare, then open the practice instance and look at what a comparison cannot see."
    start = Start(step=4, instance=True)
    tools = ("handover",)
    hints = (
        "A comparison reads records. A client secret comes back in none, and a token is in none that was handed over.",
        "A password field does not survive an import. The console of the practice site has the client secret of {app}.",
        "On the practice instance: save the client secret of {app} in the registry, then press Get OAuth Token on the "
        "credential.",
    )
    turns = (
        Turn(
            "app-of-spokekit",
            _shared,
            "The instance's registry names {shared} now, which spokekit uses itself. The instance has its own app, "
            "with its own redirect URL; with one app for both, a new secret or a removed app ends both.",
            lambda s: {"shared": s.app.name if s.app else "the app"},
            lambda do: do.import_plan(do.connection.client_id),
        ),
        Turn(
            "secret-of-another-app",
            lambda s: bool(_another(s)),
            "The registry names {own}, and the secret that you typed into it is not that app's: it is of {other}.",
            lambda s: {"own": APP, "other": _another(s)},
            lambda do: do.type_instance_secret(do.connection.client_id),
        ),
        Turn(
            "asked-too-early",
            lambda s: s.instance.refused > s.instance_before.refused and _secret_of(s.instance) != APP,
            "You asked for a token ({times} in all), and Atlassian answers invalid_client: the client secret in the "
            "registry did not survive the import.",
            lambda s: {"times": s.instance.refused - s.instance_before.refused},
            lambda do: (do.get_instance_token(), do.get_instance_token()),
        ),
    )
    steps = (
        "Press “Compare”: no difference. Records arrived; a secret and a token never do.",
        "Open the practice site's console, and copy the client secret of {app}.",
        "Open the practice instance: under oauth_entity, save the client secret; under oauth_2_0_credentials, press "
        "Get OAuth Token.",
    )
    shown = "The instance has its token, by its own app and its own secret."
    at_work = (
        "At work, no export carries a secret that can be used, and no token moves: those two steps stand last in "
        "checklist.md, for whoever sits at the instance."
    )

    def prepare(self, do: Doer) -> None:
        _hand_over_by_xml(do)
        (registry,) = do.look().instance.records[rec.REGISTRY]
        values = {"client_secret": "encrypted on another instance"}
        do.order({"do": "instance-record", "table": rec.REGISTRY, "sys_id": registry, "values": values})

    def facts(self, seen: Seen) -> dict[str, Named]:
        return {"app": APP}

    def attempted(self, seen: Seen) -> bool:
        return _touched(seen) or bool(seen.hand_overs) or bool(_registered_anew(seen))

    def right(self, seen: Seen) -> bool:
        there = seen.instance
        own = _secret_of(there) == APP and not _shared(seen)
        return own and _has_token(there) and _fits_the_plan(seen) and not _registered_anew(seen)

    def missing(self, seen: Seen) -> str:
        if _secret_of(seen.instance) != APP:
            return "The registry of the instance has no client secret that can be used."
        if not _has_token(seen.instance):
            return "The client secret is right. Get OAuth Token on the credential comes last."
        return "The token is there, and a comparison finds differences: bring the records to the plan."

    def solve(self, do: Doer) -> None:
        do.type_instance_secret(_app(do))
        do.get_instance_token()


LESSONS = (InstanceAfterAClone(), ArrivedButNoToken())
