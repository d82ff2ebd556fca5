"""Scripts that refuse in the vendors' own words: by status, by kind, inside a 200, inside a stream."""

from __future__ import annotations

from proxy import fake_errors
from proxy.fake_asked import JSON, encode
from proxy.fake_conversation import Conversation
from proxy.fake_errors import Problem
from proxy.fake_faults import answers, fault, part


def refuse(talk: Conversation, wrong: Problem, retry: float | None = None, form: str = "none") -> None:
    """Answer with a problem's status and body, and the wait (seconds) a client is asked for in the given form."""
    body = fake_errors.body(talk.asked, wrong, retry if form == "body" else None)
    waits = [] if retry is None else fake_errors.retry_headers(form, retry)
    named = (b"x-request-id", talk.asked.id("req_").encode())
    head = talk.head(wrong.status, [(b"content-type", JSON), named, *waits], length=len(body))
    if talk.seen.method == "HEAD" or wrong.status in (204, 304):
        body = b""
    talk.send(head + body)
    talk.finish()


@fault("fail", status=500)
async def fail(talk: Conversation) -> None:
    """`fail-503`: that status with the vendor's usual body. Options: delay, retry and form as in `rate-limit`."""
    await talk.sleep(talk.script.seconds("delay", 0))
    _refuse_with_wait(talk, fake_errors.problem(talk.script.whole("status", 500)))


@fault("rate-limit", status=429)
def rate_limit(talk: Conversation) -> None:
    """429. `retry`: seconds to wait; `form`: seconds, date, ms, reset, body (Gemini's way and its default), none."""
    _refuse_with_wait(talk, fake_errors.problem(talk.script.whole("status", 429)))


def _refuse_with_wait(talk: Conversation, wrong: Problem) -> None:
    retry = talk.script.seconds("retry", -1)
    usual = "body" if talk.asked.dialect == "gemini" else "seconds"
    refuse(talk, wrong, retry if retry >= 0 else None, talk.script.word("form", usual))


@fault("quota")
def quota(talk: Conversation) -> None:
    """The money of this account is spent, said in the vendor's way."""
    refuse(talk, fake_errors.QUOTA[talk.asked.dialect])


@fault("bad-key")
def bad_key(talk: Conversation) -> None:
    """The key is wrong, said in the vendor's way (Gemini: 400 API_KEY_INVALID)."""
    refuse(talk, fake_errors.BAD_KEY[talk.asked.dialect])


@fault("context-length")
def context_length(talk: Conversation) -> None:
    """The prompt is too long for the model."""
    refuse(talk, fake_errors.CONTEXT_LENGTH[talk.asked.dialect])


@fault("policy")
def policy(talk: Conversation) -> None:
    """The prompt breaks the vendor's content policy; `status=403` is the moderation refusal of a router."""
    wrong = fake_errors.POLICY[talk.asked.dialect]
    if talk.script.whole("status", 0) == 403:
        wrong = Problem(403, "moderation", "moderation", "The model requires moderation. Your input was flagged.")
    refuse(talk, wrong)


@fault("error-200", status=503)
def error_200(talk: Conversation) -> None:
    """A JSON error with status 200 in place of a result (OpenRouter's way); `status` is the error's own."""
    wrong = fake_errors.problem(talk.script.whole("status", 503))
    document = fake_errors.document(talk.asked, wrong)
    if talk.asked.dialect == "openai":
        document["error"]["code"] = wrong.status
    body = encode(document)
    talk.send(talk.head(200, [(b"content-type", JSON)], length=len(body)) + body)
    talk.finish()


@fault("error-first", status=529, after=0)
@fault("error-late", status=529)
async def error_in_stream(talk: Conversation) -> None:
    """An error event inside a stream, at once or after `after` content pieces; `shape` finish or failed, `status`.

    An answer that is not streamed is refused by status instead.
    """
    wrong = fake_errors.problem(talk.script.whole("status", 529))
    if not talk.answer.streamed:
        return refuse(talk, wrong)
    if talk.asked.endpoint == "stream_generate" and talk.script.whole("after", 3) == 0:
        talk.send(answers(talk))
        pieces = fake_errors.in_band(talk.asked, wrong)
        pieces[0] = pieces[0].replace(b"\n,\r\n", b"[", 1)
    else:
        await part(talk)
        pieces = fake_errors.in_band(talk.asked, wrong, talk.script.word("shape", ""))
    await talk.pieces(pieces)
    talk.finish()
