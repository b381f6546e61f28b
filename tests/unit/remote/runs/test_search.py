"""Which runs a command means, in a bucket with few and with many."""

from __future__ import annotations

import datetime as dt
import getpass

import pytest

from contract.keys import RunKeys
from remote.bucket import Bucket
from remote.errors import InputMissing, UsageError
from remote.runs import search as search_module
from remote.runs.search import SEARCH_AT_MOST, Filters, find_run, read_filters, search
from tests.support.golden import golden

NOW = dt.datetime(2026, 11, 22, 16, 0, 12, tzinfo=dt.UTC)
TYPED = {"script": "", "user": "", "state": "", "since": "", "name": "", "tags": [], "now": NOW}


def id_of(number: int) -> str:
    """The id of the run that was made so many minutes before now."""
    return f"{NOW - dt.timedelta(minutes=number):%Y%m%d-%H%M%S}-{number:06x}"


def place(bucket: Bucket, number: int, *, cause: str = "", **changes: object) -> str:
    run = id_of(number)
    spec = {**golden("run_spec"), "name": None, "tags": {}, "run": run, **changes}
    bucket.put_json_once(RunKeys(run=run).spec, spec)
    if cause:
        bucket.put_json_once(RunKeys(run=run).outcome, {**golden("outcome"), "run": run, "cause": cause})
    return run


def found(bucket: Bucket, limit: int = 20, **typed: object) -> list[str]:
    filters = read_filters(**{**TYPED, **typed})
    return [run.id for run in search(bucket, filters, limit, NOW).runs]


@pytest.fixture
def runs(bucket: Bucket) -> list[str]:
    """Runs of several kinds, the newest first."""
    return [
        place(bucket, 1, script="a/train.py", name="lr-1", created_by="bob"),
        place(bucket, 2, script="a/eval.py", name="lr-2", tags={"team": "nlp", "try": "1"}, cause="failed"),
        place(bucket, 90, script="[z].py", created_by=getpass.getuser(), tags={"team": "nlp"}),
        place(bucket, 60 * 24 * 40, script="a/train.py", name="lr-1", cause="completed"),
    ]


@pytest.mark.parametrize(
    ("typed", "places"),
    [
        ({}, [0, 1, 2, 3]),
        ({"script": "a/train.py"}, [0, 3]),
        ({"script": "*/*.py"}, [0, 1, 3]),
        ({"script": "[z].py"}, [2]),
        ({"script": "train.py"}, []),
        ({"user": "bob"}, [0]),
        ({"user": "me"}, [2]),
        ({"state": "sent"}, [0, 2]),
        ({"state": "failed"}, [1]),
        ({"name": "lr-*"}, [0, 1, 3]),
        ({"name": "lr-1"}, [0, 3]),
        ({"name": "*"}, [0, 1, 3]),
        ({"tags": ["team=nlp"]}, [1, 2]),
        ({"tags": ["team=nlp", "try=1"]}, [1]),
        ({"tags": ["team=nl"]}, []),
        ({"since": "1h"}, [0, 1]),
        ({"since": "50d"}, [0, 1, 2, 3]),
        ({"script": "*.py", "state": "completed", "since": "50d"}, [3]),
    ],
)
def test_newcomer_m14_each_filter_lets_its_runs_through(
    bucket: Bucket, runs: list[str], typed: dict, places: list[int]
) -> None:
    assert found(bucket, **typed) == [runs[place] for place in places]


def test_the_limit_counts_those_that_pass(bucket: Bucket, runs: list[str]) -> None:
    assert found(bucket, 1, script="[z].py") == [runs[2]]
    assert found(bucket, 1, name="lr-1") == [runs[0]]
    assert found(bucket, 2) == runs[:2]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"state": "done"}, "'done' is not a state of a run; these are: sent, syncing, .*completed, failed"),
        ({"since": "monday"}, "--since: 'monday'"),
        ({"tags": ["team"]}, "'team' is not KEY=VALUE"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(typed: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_filters(**{**TYPED, **typed})

    assert caught.value.next_step


class Counted:
    """A bucket that counts its calls."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket, self.calls = bucket, 0

    def __getattr__(self, name: str) -> object:
        self.calls += name != "name"
        return getattr(self.bucket, name)


def test_a_search_ends_after_so_many_runs_and_says_so(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "SEARCH_AT_MOST", 40)
    ids = [place(bucket, number) for number in range(60)]
    counted = Counted(bucket)
    result = search(counted, Filters(name="nosuch"), 5, NOW)

    assert (result.runs, result.searched, result.back_to, result.more) == ((), 40, ids[39], True)
    assert counted.calls <= 40 + 2, "one call for a run that does not pass, and the listing"
    assert search(bucket, Filters(name="nosuch"), 60, NOW).more is False, "a larger limit looks at more"
    assert search(bucket, Filters(name="nosuch", since=NOW - dt.timedelta(minutes=9)), 5, NOW).searched == 10
    assert SEARCH_AT_MOST == 500


def test_a_search_reads_no_more_once_it_has_enough(bucket: Bucket) -> None:
    for number in range(80):
        place(bucket, number)
    counted = Counted(bucket)

    assert len(search(counted, Filters(script="*"), 3, NOW).runs) == 3
    assert counted.calls <= 32 * 3 + 1
    counted.calls = 0
    assert len(search(counted, Filters(), 3, NOW).runs) == 3
    assert counted.calls <= 3 * 2 + 1


def test_ids_without_a_run_behind_them_do_not_count(bucket: Bucket) -> None:
    bucket.put_json_once(RunKeys(run=id_of(0)).attempt(1), {})
    run = place(bucket, 1)

    assert found(bucket, 1) == found(bucket, 1, script="*") == [run]


def test_a_damaged_record_is_told_and_hides_no_other_run(bucket: Bucket) -> None:
    broken, run = place(bucket, 1, name=7), place(bucket, 2)
    results = [search(bucket, filters, 5, NOW) for filters in (Filters(), Filters(script="*"))]

    for result in results:
        assert [one.id for one in result.runs] == [run]
        assert [error.message for error in result.damaged] == [f"the RunSpec of run {broken} is damaged: name is 7"]


def test_side_by_side_7_one_function_knows_ids_names_and_latest(bucket: Bucket, runs: list[str]) -> None:
    assert find_run(bucket, "", NOW).id == runs[0]
    assert find_run(bucket, "latest", NOW).id == runs[0]
    assert find_run(bucket, runs[2], NOW).id == runs[2]
    assert find_run(bucket, "lr-1", NOW).id == runs[0], "the newest of that name"
    assert find_run(bucket, "lr-2", NOW).id == runs[1]


@pytest.mark.parametrize("word", ["nosuch", "../etc", "lr-*", "LATEST", "2026"])
def test_a_word_that_names_no_run_is_answered_with_what_does(bucket: Bucket, runs: list[str], word: str) -> None:
    with pytest.raises(InputMissing) as caught:
        find_run(bucket, word, NOW)

    assert repr(word) in caught.value.message
    assert "by its id (YYYYMMDD-HHMMSS-xxxxxx), by its name" in caught.value.message
    assert caught.value.message.endswith("or by latest")
    assert caught.value.next_step == "inv runs"


def test_the_names_that_there_are_are_said_once_each(bucket: Bucket, runs: list[str]) -> None:
    with pytest.raises(InputMissing, match=r"by its name \(lr-1, lr-2\), or"):
        find_run(bucket, "nosuch", NOW)
