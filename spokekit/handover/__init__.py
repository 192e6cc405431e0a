"""Hand-over to a ServiceNow instance: a plan of the records that it needs, and the folder that carries it.

::

    from spokekit import Workspace
    from spokekit.handover import make_plan, write

    plan = make_plan(Workspace().store, instance="acme")
    write(plan, "hand-over")

No credential is needed and no secret is read: what the folder holds may be sent to whoever runs the instance.
Afterwards `compare` reads the instance, writes nothing, and gives the drift as a frame::

    from spokekit import Secret
    from spokekit.handover import SignIn, compare

    drift = compare(plan, "https://acme.service-now.com/", SignIn("api-key", Secret(key)))

`HandOver` writes a plan to an instance by its Table API: previewed, confirmed, journaled, and with an undo.

On the command line it is ``spokekit handover plan``, ``compare``, ``apply``, ``resume``, ``undo``, ``drop`` and
``journal``.
"""

from __future__ import annotations

from spokekit.handover.apply import HandOver
from spokekit.handover.client import SignIn
from spokekit.handover.compare import compare
from spokekit.handover.folder import as_json, files, schema, write
from spokekit.handover.page import to_folder
from spokekit.handover.plan import make_plan
from spokekit.handover.reading import read_plan
from spokekit.handover.records import Group, Part, Plan, Record
from spokekit.handover.steps import Changes, Outcome, Step, entries

__all__ = [
    "Changes",
    "Group",
    "HandOver",
    "Outcome",
    "Part",
    "Plan",
    "Record",
    "SignIn",
    "Step",
    "as_json",
    "compare",
    "entries",
    "files",
    "make_plan",
    "read_plan",
    "schema",
    "to_folder",
    "write",
]
