"""Which of the sites of a consent a person means: by address, host, name or cloud id, as it is pasted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from spokekit._words import comparable
from spokekit.connections.connection import Connection
from spokekit.errors import InputError, SiteChoiceNeeded
from spokekit.oauth.endpoint import Site
from spokekit.oauth.status import to_choose_a_site

_CLOUD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_AROUND = " \t\r\n\u00a0\u200b\u2060\ufeff\"'<>`\u201c\u201d\u201e"
_LONGEST = 2_000
# Hosts of Atlassian that are no site; an address there may hold a cloud id.
_NO_SITES = re.compile(r"(?:[\w-]+\.)?atlassian\.com|atlassian\.net|(?:[\w-]+\.)*service-now\.com", re.IGNORECASE)


def check_wanted(text: str) -> str:
    """Return what a person gave for a site, without what stands around it; asks nobody.

    Raises `InputError` when it can be no site, whatever a consent reaches.
    """
    bare = "" if not isinstance(text, str) else text.strip(_AROUND)
    if not any(letter.isalnum() for letter in bare):
        raise _not_a_site("Nothing was given for the site.")
    if len(bare) > _LONGEST:
        raise _not_a_site("What was given for the site is too long.")
    host = _host(bare)
    if "://" in bare and not host:
        raise _not_a_site(f"“{bare[:200]}” is not the address of a site.")
    if host and _NO_SITES.fullmatch(host) and not _CLOUD_ID.search(bare):
        raise _not_a_site(f"{host} is not the address of a site.")
    return bare


def _not_a_site(what: str) -> InputError:
    return InputError(
        what,
        field="site",
        hint="Give the address of the site, such as https://acme.atlassian.net, its name, or its cloud id.",
    )


def find_site(wanted: str, sites: Sequence[Site], connection: Connection) -> Site:
    """Return the one of `sites` that `wanted` names.

    Parameters
    ----------
    wanted:
        A cloud id (also within an ARI or an address), a host or an address with any path, the first part of the host,
        or a name; upper and lower case, a dot or slash at the end do not count.

    Raises
    ------
    InputError
        It can be no site at all.
    SiteChoiceNeeded
        It fits none of them, or several; the message names them all.
    """
    bare = check_wanted(wanted)
    host = _host(bare)
    # An address may hold ids of other things as well: the host goes before them.
    fitting = [site for site in sites if bare.casefold() == site.cloud_id.casefold()]
    fitting = fitting or [site for site in sites if host and host == _host(site.url)]
    ids = {found.lower() for found in _CLOUD_ID.findall(unquote(bare))}
    fitting = fitting or [site for site in sites if site.cloud_id.lower() in ids]
    if not fitting:
        name = _name(bare)
        fitting = [site for site in sites if name in (_name(site.name), _host(site.url).partition(".")[0])]
    if len(fitting) == 1:
        return fitting[0]
    what = f"“{bare[:200]}” fits several sites" if fitting else f"“{bare[:200]}” is none of the sites of the consent"
    raise SiteChoiceNeeded(
        f"{what}: {listed(fitting or sites, ids=bool(fitting))}.",
        hint=to_choose_a_site(connection)
        + (" A site that is not listed needs a consent of its own: spokekit token get." if not fitting else ""),
        sites=tuple((site.cloud_id, site.name, site.url) for site in fitting or sites),
    )


def listed(sites: Sequence[Site], *, ids: bool = False) -> str:
    """Return the sites for a message, with their cloud ids where they cannot be told apart otherwise."""
    ids = ids or len({site.url for site in sites}) < len(sites)
    return ", ".join(f"{site.name} ({site.url}{f', {site.cloud_id}' if ids else ''})" for site in sites)


def _host(text: str) -> str:
    """Return the host of an address, with or without scheme and path; empty where the text is none."""
    text = text if "://" in text else "//" + text.lstrip("/")
    try:
        host = (urlsplit(text).hostname or "").rstrip(".")
    except ValueError:
        return ""
    return host if re.fullmatch(r"[\w-]+(?:\.[\w-]+)+|\[?[0-9a-f:]+\]?", host) else ""


def _name(text: str) -> str:
    return comparable(text).rstrip("./ ")
