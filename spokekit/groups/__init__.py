"""Registered groups, and changes of who is in them.

In the order of a change: `registry` (what may be changed), `wishes` (who should go where), `site` and `site_state`
(what is so now), `rules`, `plan`, `preview` and `planfile` (what would be done), `apply` and `journal` (what was done),
`resumption` and `recheck` (what is left of it); `membership` is the service over all of them.
"""
