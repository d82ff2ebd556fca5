"""From what a handler found to what goes over the wire: as JSON or CSV, with its entity tag, or as 304."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from healthapi import csvs, etags, writing
from healthapi.answer import Answer
from healthapi.replies import Reply
from healthapi.routes import Route
from healthapi.turns import let_go
from healthapi.writing import Written

OK: Final = 200
NOT_MODIFIED: Final = 304

UNTOLD: Final = Answer(None, tagged=False)
"""What is known of the answer of a route that says nothing."""


async def presented(
    route: Route, made: Reply, as_csv: bool, if_none_match: Sequence[bytes]
) -> tuple[Reply, dict[str, str]]:
    """The answer as bytes, and its own headers; `if_none_match` are the fields of that name."""
    answer = route.answer or UNTOLD
    headers = {} if answer.rows is None else {"Vary": "Origin, Accept"}
    if as_csv and answer.rows is not None and made.document is not None and made.status == OK:
        written = await writing.as_csv(made.document, answer.rows)
        told, weak = Reply(written.body, csvs.MEDIA), False
        headers["Content-Disposition"] = f'attachment; filename="{file_name(route.path)}"'
    else:
        written = await _written(made, answer)
        told, weak = Reply(written.body, made.content_type, made.status), bool(answer.moving)
    if made.document is not None and answer.rows is not None:
        await let_go(getattr(made.document, answer.rows.field))
    if made.status != OK or not answer.tagged or route.method != "GET":
        return told, headers
    tag = etags.tag(written.digest, weak=weak)
    headers |= {"Cache-Control": "no-cache", "ETag": tag}
    if etags.known(if_none_match, tag):
        headers.pop("Content-Disposition", None)
        return Reply(status=NOT_MODIFIED), headers
    return told, headers


def file_name(path: str) -> str:
    """What the CSV of a list is called when it is saved: its path, of which nothing is a caller's."""
    parts = [part for part in path.split("/") if part and not part.startswith("{") and part != "v1"]
    return f"{'-'.join(parts)}.csv"


async def _written(made: Reply, answer: Answer) -> Written:
    if made.document is not None:
        return await writing.as_json(made.document, answer.moving)
    return Written(made.written, writing.digest(made.written) if answer.tagged else "")
