"""Tests that cannot look into compiled code, and why: they hold the same rules of the source, which is all they need.

Left out where the hot modules are compiled (see tests/conftest.py); what ships has tests of its own in tests/compiled.
"""

from __future__ import annotations

from typing import Final

STANDS_IN: Final = "an object of the test stands where a class of ours is, which compiled code looks at"
PATCHES: Final = "a constant or a function of a module is replaced, which compiled code has built in"
SUBCLASSES: Final = "a class of ours is made another one of, which compiled classes do not let"

ONLY: Final = {
    "tests/breaker/test_diagram.py": "documents are drawn where the source is",
    "tests/healthapi/test_app.py::test_a_bug_is_a_500_without_its_words": SUBCLASSES,
    "tests/healthapi/test_app.py::test_a_store_that_cannot_answer_is_503_and_never_good_news": SUBCLASSES,
    "tests/healthapi/test_app.py::test_the_next_request_on_the_connection_works": SUBCLASSES,
    "tests/healthapi/test_judgement.py::test_names_without_a_place_are_added_up": PATCHES,
    "tests/healthapi/test_metrics.py::test_names_are_bounded_and_nothing_is_lost": PATCHES,
    "tests/healthapi/test_metrics.py::test_reroutes_are_bounded_and_none_is_lost": PATCHES,
    "tests/healthapi/test_metrics.py::test_the_first_success_gives_a_lasting_place": PATCHES,
    "tests/proxy/test_asked.py": STANDS_IN,
    "tests/proxy/test_attempt.py": STANDS_IN,
    "tests/proxy/test_attempt_wire.py": STANDS_IN,
    "tests/proxy/test_body.py": STANDS_IN,
    "tests/proxy/test_exchange.py::test_a_failure_of_ours_is_answered_and_logged": SUBCLASSES,
    "tests/proxy/test_partial.py::test_it_gives_up_after_many_steps": PATCHES,
    "tests/proxy/test_relay.py": STANDS_IN,
    "tests/proxy/test_reply.py::test_what_is_remembered_of_names_is_bounded": PATCHES,
    "tests/proxy/test_rewrite.py": STANDS_IN,
    "tests/proxy/test_splice.py::test_what_is_too_much_to_follow_is_left_alone": PATCHES,
    "tests/proxy/test_upstream.py::test_a_failure_of_our_own_is_logged_and_no_traceback_of_the_loops": PATCHES,
    "tests/test_cost.py": "what is compiled runs no bytecode to count",
}
"""A file, or one of its functions, to the reason."""


def why(test: str) -> str | None:
    """Why the test of that id, or a whole file, is for the source alone; None when it is for both."""
    return ONLY.get(test.partition("[")[0])
