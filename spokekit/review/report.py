"""The report of a campaign: one page with nothing from elsewhere, DRAFT across it until the campaign is closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from spokekit import _frames
from spokekit._foreign import markup
from spokekit._words import counted, moment
from spokekit.review import handout
from spokekit.review import records as rec
from spokekit.review.verification import NOT_READ, UNEXPLAINED

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.review.campaign import Campaign

_MOST = 1_000
_SHOWN = ("group", "person", "account_id", "access", "recommendation")


def page(campaign: Campaign) -> bytes:
    """Return the page; see `Campaign.report`."""
    draft = campaign.state != rec.CLOSED
    parts = [f"<h1>Access review {markup(campaign.name)}</h1>"]
    if draft:
        parts.append(
            f"<p class='mind'><strong>DRAFT.</strong> This review is in the state {campaign.state}; only a closed one "
            "is evidence.</p>"
        )
    if campaign.missing:
        parts.append(f"<p class='mind'><strong>Partial population.</strong> {markup('; '.join(campaign.missing))}.</p>")
    if (proof := campaign.verification()) is not None and proof.missing:
        words = markup("; ".join(proof.missing))
        parts.append(f"<p class='mind'><strong>Partial verification.</strong> {words}.</p>")
    parts += _about(campaign)
    parts += _sums(campaign)
    parts += _signatures(campaign)
    parts += _tables(campaign)
    draft_sign = "<div class='draft' aria-hidden='true'>DRAFT</div>" if draft else ""
    partial = f"<p class='every-page'>Partial population: {markup('; '.join(campaign.missing), 400)}</p>"
    body = "\n".join([draft_sign, partial if campaign.missing else "", *parts])
    return _PAGE.format(title=markup(f"Access review {campaign.name}"), body=body).encode("utf-8", "backslashreplace")


def about(campaign: Campaign) -> list[tuple[str, str]]:
    """Return what stands at the head of report and workbook as (what, words)."""
    a = campaign.head.about
    first = campaign.events[0] if campaign.events else None
    said = [
        ("Review", campaign.name),
        ("State", campaign.state + ("" if campaign.state == rec.CLOSED else " (DRAFT)")),
        ("Site", f"{campaign.head.site} ({campaign.head.cloud_id})"),
        ("Scope", f"{a['scope']}: {counted(len(a['groups']), 'group')}"),
        ("Population", f"snapshot {a['snapshot']} of {moment(datetime.fromisoformat(a['taken_at']))}; {a['walked']}"),
        ("Completeness", f"PARTIAL: {'; '.join(campaign.missing)}" if campaign.missing else a["completeness"]),
        ("Mind", a["caution"]),
        ("Opened", f"{moment(campaign.head.created_at)}, by {campaign.who(first)} ({first.through})" if first else ""),
        ("Due", campaign.due or "no day was set"),
        ("Made with", f"spokekit {a['spokekit']}"),
    ]
    for event in campaign.events:
        if event.event in _STEPS:
            said.append((_STEPS[event.event], f"{moment(event.at)}, by {campaign.who(event)} ({event.through})"))
    return [(what, words) for what, words in said if words]


_STEPS = {
    rec.WAS_APPLIED: "Carried out",
    rec.WAS_VERIFIED: "Verified",
    rec.HANDED_OUT: "Handed out",
    rec.WAS_CLOSED: "Closed",
}


def _about(campaign: Campaign) -> list[str]:
    lines = [f"<tr><th scope='row'>{markup(w)}</th><td>{markup(t)}</td></tr>" for w, t in about(campaign)]
    return ["<table class='about'>", *lines, "</table>"]


def _sums(campaign: Campaign) -> list[str]:
    s = campaign.sums()
    made = (*rec.DECISIONS, "routed_out", *(["undecided"] if s["undecided"] else []))
    parts = ["<h2>The sums</h2>", _equation(s, "in_scope", made)]
    if "done" in s:
        parts.append(_equation(s, "remove", ("done", "not_done", "refused")))
        proof = campaign.verification()
        parts.append(f"<p>{markup(proof.words if proof else '')}</p>")
    else:
        parts.append("<p>The removals are not verified.</p>")
    parts.append(f"<p>{counted(s['late'], 'decision')} after the due day.</p>" if s["late"] else "")
    return parts


def _equation(sums: Mapping[str, int], whole: str, parts: Iterable[str]) -> str:
    first, *cells = (f"<span><b>{sums[one]:,}</b><br>{one.replace('_', ' ')}</span>" for one in (whole, *parts))
    plus = "<span class='sign'>+</span>"
    return f"<p class='sums'>{first}<span class='sign'>=</span>{plus.join(cells)}</p>"


def _signatures(campaign: Campaign) -> list[str]:
    lines = [
        f"<li>{markup(e.detail['name'])}, {markup(e.detail['role'])}, {moment(e.at)}; signed in as "
        f"{markup(campaign.called(e.by) or 'nobody')} ({markup(e.through)})</li>"
        for e in campaign.happened(rec.SIGNED)
    ]
    return ["<h2>Signed by</h2>", f"<ul>{''.join(lines)}</ul>" if lines else "<p>Nobody has signed.</p>"]


def _tables(campaign: Campaign) -> list[str]:
    frame = campaign.frame()
    parts: list[str] = []
    proof = campaign.verification()
    decided = ("decision", "until", "reason", "decided_by", "decided_at")
    removed = frame[frame["decision"] == rec.REMOVE]
    parts += _table("Removals", removed, (*_SHOWN, *decided[2:], "outcome", "outcome_detail"))
    if proof is not None:
        found = proof.frame
        columns = ("group", "person", "account_id", "decision", "outcome", "outcome_detail")
        parts += _table("Unexplained changes", found[found["outcome"] == UNEXPLAINED], columns)
        unread = found[found["outcome"] == NOT_READ]
        parts += _table("Not read by the second walk", unread, columns) if len(unread) else []
    parts += _table("Exceptions", frame[frame["decision"] == rec.EXCEPTION], (*_SHOWN, *decided[1:]))
    parts += _table("To be asked", frame[frame["decision"] == rec.ASK], (*_SHOWN, *decided[2:]))
    undecided = frame[frame["decision"] == ""]
    if len(undecided):
        parts += _table("Not decided", undecided, _SHOWN)
    routed = handout.frame(campaign)
    if len(routed):
        parts += _table("Routed out", routed, ("group", "person", "account_id", "wanted", "why", "state"))
    parts += _table("Kept", frame[frame["decision"] == rec.KEEP], (*_SHOWN, *decided[2:]))
    return parts


def _table(title: str, frame: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    names = {name: name.replace("_", " ") for name in columns if name in frame}
    head = f"<h2>{title}</h2>"
    if not len(frame):
        return [head, "<p>None.</p>"]
    table = _frames.shown(frame, names, most=_MOST, rest="all are in decisions.csv and population.csv")
    return [head, f"<p>{markup(table.caption)}.</p>", f"<div class='wide'><table>{_frames.inside(table)}</table></div>"]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>
:root {{ --ink: #1c1f24; --paper: #fff; --line: #d5d9df; --soft: #5b636e; --mind: #8a4b00; --band: #fff5e6; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e8eb; --paper: #16181c; --line: #3a3f47; --soft: #a3abb6; --mind: #ffb95e; --band: #2b2316; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
       max-width: 76rem; padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; break-after: avoid; }}
table {{ border-collapse: collapse; font-size: 0.9rem; }}
th, td {{ border-bottom: 1px solid var(--line); padding: 0.3rem 0.7rem; text-align: left; vertical-align: top;
         overflow-wrap: break-word; max-width: 22rem; }}
thead th {{ white-space: nowrap; }} .number {{ text-align: right; font-variant-numeric: tabular-nums; }}
tr {{ break-inside: avoid; }}
.about th {{ color: var(--soft); font-weight: normal; white-space: nowrap; }}
.wide {{ overflow-x: auto; }} .mind {{ background: var(--band); color: var(--mind); padding: 0.6rem 1rem; }}
.sums {{ display: flex; flex-wrap: wrap; gap: 0.9rem; align-items: center; }}
.sums span {{ text-align: center; color: var(--soft); }} .sums b {{ color: var(--ink); font-size: 1.3rem; }}
.sums .sign {{ font-size: 1.2rem; }}
.draft {{ position: fixed; inset: 0; display: flex; align-items: center; justify-content: center; z-index: 1;
         font-size: min(26vw, 16rem); font-weight: 700; letter-spacing: 0.08em; color: var(--ink); opacity: 0.07;
         transform: rotate(-24deg); pointer-events: none; }}
.every-page {{ display: none; }}
@media print {{
  :root {{ --ink: #000; --paper: #fff; --line: #999; --soft: #444; --mind: #000; --band: #fff; }}
  body {{ margin: 0; max-width: none; font-size: 10px; }} .wide {{ overflow: visible; }}
  th, td {{ overflow-wrap: anywhere; padding: 0.2rem 0.3rem; }} thead th {{ white-space: normal; }}
  .draft {{ opacity: 0.12; }}
  .every-page {{ display: block; position: fixed; bottom: 0; left: 0; right: 0; margin: 0; background: #fff; }}
}}
</style></head><body>
{body}
</body></html>
"""
