"""What a practice site is like now, as a check of a lesson reads it: groups, people, apps, consents, requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spokekit.practice.world.seeds import ACCESS_WORDS

if TYPE_CHECKING:
    from spokekit.practice.oauth import AuthServer
    from spokekit.practice.server import PracticeSite
    from spokekit.practice.world import World

LAYOUT = 1
MOST_PEOPLE = 5_000


def state_of(site: PracticeSite) -> dict[str, Any]:
    """Return the state of a site as JSON takes it, without any secret. See `spokekit.practice.control`."""
    return {
        "layout": LAYOUT,
        "at": site.clock.now(),
        "begun": site.begun,
        "start": asdict(site.start_point) | {"switches": dict(site.start_point.switches)},
        "quiet": site.quiet,
        "signed_in": {"role": site.signed_in, **_person(site.world, site.account_id)},
        "sites": [_world(world) for world in site.worlds.values()],
        "apps": [
            {
                "name": app.name,
                "client_id": app.client_id,
                "scopes": list(app.scopes),
                "redirect_uris": list(app.redirect_uris),
                "distribution": app.distribution,
                "secrets_made": app.turn + 1,
            }
            for app in site.apps
        ],
        "consents": _consents(site.auth),
        "authorised": [{"client_id": client, "cloud_id": cloud} for client, cloud in sorted(site.auth.authorised)],
        "limits": [
            {
                "client_id": app.client_id,
                "spent": site.limits.spent(app.client_id),
                "left": site.limits.left(app.client_id),
            }
            for app in site.apps
        ],
        "switches": site.switches.changed(),
        "faults": [
            {"name": f.name, "value": f.value, "every": f.every, "times": f.times, "on": f.on, "struck": f.struck}
            for f in site.faults.active
        ],
        "triggers": [
            {"at": t.at, "nth": t.nth, "when": t.when, "seen": t.seen, "done": t.done, "problem": t.problem}
            for t in site.triggers.all
        ],
        "requests": dict(Counter(record.name for record in site.requests if record.name)),
        "refused": dict(Counter(record.name for record in site.requests if record.name and record.status >= 400)),
        "writes": [asdict(write) for write in site.written],
        "instance": site.instance_beside.state(),
    }


def _person(world: World, account_id: str) -> dict[str, Any]:
    person = world.find_person(account_id)
    return {"account_id": person.account_id, "name": person.display_name}


def _world(world: World) -> dict[str, Any]:
    small = world.user_count <= MOST_PEOPLE
    licensed, admins = world.licensed, world.site_admins
    groups = []
    for row in world.group_order() if small else ():
        group = world.group(row)
        groups.append(
            {
                "group_id": group.group_id,
                "name": group.name,
                "access": [word for bit, word in ACCESS_WORDS if group.access & bit],
                "managed_by": group.managed_by,
                "members": [world.account_id(int(user)) for user in world.members(row)],
            }
        )
    people = []
    for row in range(world.user_count) if small else ():
        person = world.person(row)
        people.append(
            {
                "account_id": person.account_id,
                "name": person.display_name,
                "type": person.account_type,
                "status": person.account_status,
                "guest": person.is_guest,
                "licensed": bool(licensed[row]),
                "site_admin": bool(admins[row]),
            }
        )
    return {
        "cloud_id": world.cloud_id,
        "name": world.site_name,
        "whole": small,
        "licensed": int(licensed.sum()),
        "groups": groups,
        "people": people,
    }


def _consents(auth: AuthServer) -> list[dict[str, Any]]:
    now = auth.clock.now()
    return [
        {
            "client_id": grant.app.client_id,
            "account_id": grant.account_id,
            "scopes": list(grant.scopes),
            "sites": sorted(grant.sites),
            "access_tokens": sum(a.grant is grant and a.expires_at > now for a in auth.access_tokens.values()),
            "renewable": any(t.family.grant is grant and auth.renews(t) for t in auth.refresh_tokens.values()),
        }
        for grant in auth.grants.values()
    ]
