from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthapi.history import DAY, HOUR, MINUTE, NOTHING, Counts, Group, History
from tests.healthapi.samples import NOW

RINGS = ((MINUTE, 61), (HOUR, 48), (DAY, 31))
SPANS = (60.0, 300.0, 3600.0, 5400.0, 21_600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)


class Sparse:
    """The same rules kept the slow way: a dict of buckets for each ring."""

    def __init__(self) -> None:
        self.rings: list[dict[int, list[int]]] = [{} for _ in RINGS]

    def add(self, at: float, group: int) -> None:
        for ring, (width, size) in zip(self.rings, RINGS, strict=True):
            bucket = int(at // width)
            if ring and bucket <= max(ring) - size:
                ring.clear()
            ring.setdefault(bucket, [0, 0, 0])[group] += 1
            for old in [b for b in ring if b <= max(ring) - size]:
                del ring[old]

    def counts(self, span: float, now: float) -> Counts:
        index = next((i for i, (width, size) in enumerate(RINGS) if span <= width * (size - 1)), 2)
        oldest = (now - span) // RINGS[index][0]
        cells = [cell for bucket, cell in self.rings[index].items() if bucket >= oldest]
        return Counts(*(sum(cell[group] for cell in cells) for group in Group))


def add(history: History, at: float, group: int) -> None:
    history.count(int(at // MINUTE), [int(group == one) for one in Group])


def filled(*ats: float, group: Group = Group.SUCCESS) -> History:
    history = History()
    for at in ats:
        add(history, at, group)
    return history


def test_nothing_seen_is_nothing() -> None:
    assert [History().counts(span, NOW) for span in SPANS] == [NOTHING] * len(SPANS)


def test_groups_are_kept_apart() -> None:
    history = History()
    for group, times in ((Group.SUCCESS, 3), (Group.BLAMED, 2), (Group.OTHER, 1)):
        for _ in range(times):
            add(history, NOW, group)
    counts = history.counts(300, NOW)
    assert counts == Counts(3, 2, 1)
    assert (counts.total, counts.judged) == (6, 5)


@pytest.mark.parametrize(
    ("span", "ago", "seen"),
    [
        (300, 0, True),
        (300, 299.9, True),
        (300, 300, True),
        (300, 300.1, False),
        (3600, 3600, True),
        (3600, 3600.1, False),
        (86_400, 86_400, True),
        (86_400, 86_400.1, False),
        (7 * 86_400, 7 * 86_400, True),
        (7 * 86_400, 7 * 86_400 + 1, False),
        (30 * 86_400, 30 * 86_400, True),
        (30 * 86_400, 30 * 86_400 + 1, False),
        (90 * 86_400, 30 * 86_400, True),
        (90 * 86_400, 31 * 86_400, True),
    ],
)
def test_a_period_asked_for_at_the_edge_of_a_bucket_is_exact(span: float, ago: float, seen: bool) -> None:
    assert filled(NOW - ago).counts(span, NOW).total == seen


@pytest.mark.parametrize("width", [MINUTE, HOUR, DAY])
@pytest.mark.parametrize("step", [-0.001, 0.0, 0.001])
def test_a_clock_that_moves_over_an_edge_loses_nothing(width: int, step: float) -> None:
    history = filled(NOW - width, NOW - 0.001, NOW, NOW + step)
    assert [history.counts(span, NOW + step).total for span in (DAY, 30 * DAY)] == [4, 4]


def test_old_buckets_are_emptied_when_their_place_is_taken_again() -> None:
    history = filled(*(NOW + minute * MINUTE for minute in range(200)))
    now = NOW + 199 * MINUTE
    assert history.counts(3600, now).total == 61
    assert history.counts(300, now).total == 6
    assert history.counts(DAY, now).total == 200


def test_a_gap_longer_than_a_ring_empties_it() -> None:
    history = filled(NOW, NOW + 40 * DAY)
    assert [history.counts(span, NOW + 40 * DAY).total for span in SPANS] == [1] * len(SPANS)


def test_a_clock_set_back_a_little_makes_nothing_unhappen() -> None:
    history = filled(NOW, NOW - 120)
    assert history.counts(300, NOW - 120).total == 2
    add(history, NOW - 120, Group.BLAMED)
    assert history.counts(300, NOW).total == 3


def test_a_clock_set_back_by_years_does_not_blind_the_rings() -> None:
    history = filled(NOW + 1000 * DAY, NOW)
    assert [history.counts(span, NOW).total for span in SPANS] == [1] * len(SPANS)


def test_reading_between_adds_changes_no_count() -> None:
    history = History()
    for n in range(1, 6):
        add(history, NOW, Group.SUCCESS)
        assert [history.counts(span, NOW).success for span in SPANS] == [n] * len(SPANS)


moments = st.lists(
    st.tuples(st.one_of(st.floats(-2 * HOUR, 2 * HOUR), st.floats(-70 * DAY, 70 * DAY)), st.sampled_from(list(Group))),
    max_size=30,
)


@settings(deadline=None)
@given(moments, st.sampled_from(SPANS), st.floats(-40 * DAY, 40 * DAY))
def test_the_rings_agree_with_the_slow_way_whatever_the_clock_does(
    given_moments: list[tuple[float, Group]], span: float, ago: float
) -> None:
    history, slow = History(), Sparse()
    for offset, group in given_moments:
        add(history, NOW + offset, group)
        slow.add(NOW + offset, group)
    assert history.counts(span, NOW + ago) == slow.counts(span, NOW + ago)


@settings(deadline=None)
@given(moments, moments)
def test_merging_adds_whatever_is_not_too_old(one: list[tuple[float, Group]], two: list[tuple[float, Group]]) -> None:
    mine, theirs = History(), History()
    together = sorted([*one, *two])
    for history, events in ((mine, sorted(one)), (theirs, sorted(two))):
        for offset, group in events:
            add(history, NOW + offset, group)
    before = [theirs.counts(span, NOW) for span in SPANS]
    slow = Sparse()
    for offset, group in together:
        slow.add(NOW + offset, group)
    mine.merge(theirs)
    assert [mine.counts(span, NOW) for span in SPANS] == [slow.counts(span, NOW) for span in SPANS]
    assert [theirs.counts(span, NOW) for span in SPANS] == before


def test_adding_goes_on_after_a_merge() -> None:
    mine = filled(NOW)
    mine.merge(filled(NOW + 100 * MINUTE))
    add(mine, NOW, Group.SUCCESS)
    assert mine.counts(DAY, NOW + 100 * MINUTE).total == 3
    assert mine.counts(300, NOW).total == 1, "the minute that was added to last had been empty before the merge"
