"""A sweep that several workers train: what each is given, and what storages are refused."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from trainers.config import SweepConfig
from trainers.fit import Fit
from trainers.recipe import Recipe
from trainers.sampler import Searched, distributions, sobol_points
from trainers.search import Search
from trainers.space import SearchSpace

SPACE = SearchSpace(widths=("8-4", "4", "16"))
CONFIG = SweepConfig(trials=6, population=2, seed=5, space=SPACE)
ASKED = {"asked": {"epochs": (3, 9), "seed": 5}, "store": "ab"}
LOSS = {"valid_loss": 0.5, "valid_accuracy": 0.75, "valid_score": 0.0}
FIT = Fit(Recipe(), "complete", {}, **LOSS, best_epoch=2, epochs=5, seconds=0.1, error=None)


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    return tmp_path / "journal" if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"


def worker(storage, name="a", config=CONFIG, identity=ASKED, listed=()):
    return Search(config, storage, name, identity, listed)


def numbers(proposals):
    return [proposal.number for proposal in proposals]


def tell(search, proposals):
    for proposal in proposals:
        search.tell(proposal.number, FIT)


def study_in(storage):
    opened = JournalStorage(JournalFileBackend(str(storage))) if isinstance(storage, Path) else storage
    return optuna.load_study(study_name="sweep", storage=opened)


def test_workers_share_the_heads_of_a_sweep(storage):
    a, b = worker(storage, "a"), worker(storage, "b")
    first, second = a.ask(), b.ask()
    assert (numbers(first), numbers(second)) == ([0, 1], [2, 3])
    assert (a.elsewhere, b.elsewhere) == (2, 2)
    tell(b, second)
    assert (a.elsewhere, b.elsewhere) == (0, 2)
    assert numbers(b.ask()) == [4, 5]
    tell(a, first)
    assert a.ask() == []
    assert (a.finished, b.finished, a.elsewhere) == ({0, 1}, {2, 3}, 2)
    tell(b, b.ask())
    assert [row["trial"] for row in a.rows()] == [row["trial"] for row in b.rows()] == [0, 1, 2, 3, 4, 5]


def test_a_worker_takes_up_its_own_heads_again_and_not_those_of_another(storage):
    first = worker(storage, "a").ask()
    second = worker(storage, "b").ask()
    assert worker(storage, "b").ask() == second
    assert worker(storage, "a").ask() == first
    assert worker(storage, "c", SweepConfig(trials=4, population=2, space=SPACE)).ask() == []


def test_workers_share_the_heads_of_a_list(storage):
    listed = [({"seed": seed}, Recipe()) for seed in range(5)]
    a, b = worker(storage, "a", listed=listed), worker(storage, "b", listed=listed)
    shares = a.ask() + b.ask()
    tell(a, a.ask())
    assert [proposal.params["seed"] for proposal in shares + a.ask()] == [0, 1, 2, 3, 4]


def test_no_heads_of_two_workers_are_alike(storage):
    a, b = worker(storage, "a"), worker(storage, "b")
    proposals = a.ask() + b.ask()
    assert len({tuple(proposal.params.values()) for proposal in proposals}) == 4


def overtaken(monkeypatch, storage, config):
    """Lets a worker propose while another does: between its look at the study and its write."""
    point = Searched.point

    def overtake(self, place, earlier):
        with monkeypatch.context() as patch:
            patch.setattr(Searched, "point", point)
            worker(storage, "fast", config).ask()
        return point(self, place, earlier)

    monkeypatch.setattr(Searched, "point", overtake)
    slow = worker(storage, "slow", config)
    asked = slow.ask()
    monkeypatch.setattr(Searched, "point", point)
    return slow, asked, worker(storage, "fast", config)


def test_a_place_that_another_took_meanwhile_is_left_to_it(storage, monkeypatch):
    slow, asked, fast = overtaken(monkeypatch, storage, CONFIG)
    first = fast.ask()
    assert (numbers(first), numbers(asked)) == ([0, 1], [3, 4])
    assert study_in(storage).trials[2].state == TrialState.FAIL
    taken = [proposal.params for proposal in first]
    assert taken == sobol_points(distributions(SPACE), 2, 5)
    assert not any(proposal.params in taken for proposal in asked)
    tell(fast, first)
    tell(slow, asked)
    assert [row["trial"] for row in slow.rows()] == [0, 1, 3, 4]
    assert numbers(fast.ask()) == [5, 6]
    assert numbers(slow.ask()) == []


def test_no_more_heads_are_trained_than_were_asked_for_when_two_take_the_last(storage, monkeypatch):
    slow, asked, fast = overtaken(monkeypatch, storage, SweepConfig(trials=1, population=1, space=SPACE))
    assert (numbers(asked), numbers(fast.ask()), slow.elsewhere, fast.elsewhere) == ([], [0], 1, 0)


def test_a_proposal_that_lost_its_place_before_a_kill_is_closed_when_its_worker_is_back(storage, monkeypatch):
    monkeypatch.setattr("trainers.study.SharedStudy._withdraw_lost", lambda self: None)
    overtaken(monkeypatch, storage, SweepConfig(trials=1, population=1, space=SPACE))
    assert study_in(storage).trials[1].state == TrialState.RUNNING
    monkeypatch.undo()
    worker(storage, "other")
    assert study_in(storage).trials[1].state == TrialState.RUNNING
    worker(storage, "slow")
    assert [trial.state for trial in study_in(storage).trials] == [TrialState.RUNNING, TrialState.FAIL]


def test_a_head_that_is_ended_in_a_dashboard_is_proposed_anew(storage):
    search = worker(storage)
    first, second = search.ask()
    study_in(storage).tell(first.number, state=TrialState.FAIL)
    tell(search, [first, second])
    assert [row["trial"] for row in search.rows()] == [1]
    assert [(head.number, head.params) for head in search.ask()] == [(2, first.params)]


def test_a_trial_that_no_worker_proposed_is_left_alone(storage):
    search = worker(storage)
    study_in(storage).enqueue_trial({"dropout": 0.3})
    assert numbers(search.ask()) == [1, 2]


@pytest.mark.parametrize("identity", [{"asked": {"epochs": [3, 9], "seed": 6}, "store": "ab"}, {"store": "ab"}])
def test_a_study_that_was_asked_something_else_is_refused(storage, identity):
    worker(storage)
    worker(storage)
    with pytest.raises(
        ValueError, match=r"^storage: .* holds another study; differs in .*\. Choose another$"
    ) as refused:
        worker(storage, identity=identity)
    assert str(storage) in str(refused.value)
    assert ("asked.seed: 6, not 5" in str(refused.value)) == ("asked" in identity)


def test_a_study_of_someone_else_is_refused_and_an_empty_one_is_taken(storage):
    opened = JournalStorage(JournalFileBackend(str(storage))) if isinstance(storage, Path) else storage
    study = optuna.create_study(study_name="sweep", storage=opened)
    worker(storage)  # as one whose making was cut off
    with pytest.raises(ValueError, match="holds another study"):
        worker(storage, identity={})
    optuna.delete_study(study_name="sweep", storage=opened)
    optuna.create_study(study_name="sweep", storage=opened).ask()
    with pytest.raises(ValueError, match=r"^storage: .* holds a study 'sweep' that is none of this command; choose"):
        worker(storage)
    assert study.study_name == "sweep"


ACCEPTED = r"; accepted is a URL such as sqlite:///FILE or postgresql\+psycopg://USER@HOST/NAME$"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("study.db", "storage: got 'study.db', which names no database"),
        ("redis://host", "storage: got 'redis://host', which names no database"),
        ("sqlite://host:port/x", "storage: got 'sqlite://host:port/x', which names no database"),
        ("sqlite:////no/folder/x.db", r"storage: got .*, which cannot be opened \(unable to open database file\)"),
        ("mssql+none://me:secret@host/x", r"storage: got 'mssql\+none://\*\*\*@host/x', which names no database"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_refused(url, reason):
    with pytest.raises(ValueError, match=f"^{reason}{ACCEPTED}"):
        worker(url)


def test_a_missing_driver_is_named_and_the_password_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"its database driver is not installed \(.*psycopg.*\); accepted") as refused:
        worker("postgresql+psycopg://me:sec/r@t@host/x")
    assert "'postgresql+psycopg://***@host/x'" in str(refused.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "x.db").write_text("text, and more of it than a header of SQLite has: " * 20)
    with pytest.raises(ValueError, match=r"which cannot be opened \(file is not a database\)"):
        worker(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize("content", [b"text\n", b"text\nmore\n", b"\xff\n", b"[]\n", b"{}\n", b'{"op_code": 99}\n'])
def test_a_file_that_is_no_journal_is_refused(tmp_path, content):
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(ValueError, match=r"^storage: .*journal is no journal of a sweep; choose another$"):
        worker(tmp_path / "journal")


def test_a_database_is_opened_again_where_another_was_making_its_tables(tmp_path, monkeypatch):
    make, errors = RDBStorage.__init__, ["table studies already exists", "database is locked"]

    def made_by_another(self, *arguments, **settings):
        if errors:
            raise OperationalError("CREATE TABLE", {}, sqlite3.OperationalError(errors.pop()))
        make(self, *arguments, **settings)

    monkeypatch.setattr(RDBStorage, "__init__", made_by_another)
    assert numbers(worker(f"sqlite:///{tmp_path}/x.db").ask()) == [0, 1]
    assert errors == []


def test_a_database_that_stays_locked_is_refused(tmp_path, monkeypatch):
    def locked(self, *arguments, **settings):
        raise OperationalError("CREATE TABLE", {}, sqlite3.OperationalError("database is locked"))

    monkeypatch.setattr(RDBStorage, "__init__", locked)
    with pytest.raises(ValueError, match=r"which cannot be opened \(database is locked\); accepted"):
        worker(f"sqlite:///{tmp_path}/x.db")


DRIVER = """
import json, sys, time
from pathlib import Path
from trainers.config import SweepConfig
from trainers.fit import Fit
from trainers.search import Search
storage, name, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
config = SweepConfig(trials=24, population=3)
search = Search(config, storage if "://" in storage else Path(storage), name, {"asked": 1})
while proposals := search.ask():
    print(json.dumps([proposal.number for proposal in proposals]), flush=True)
    time.sleep(pause)
    for number, params, recipe in proposals:
        search.tell(number, Fit(recipe, "complete", {}, 0.5 + recipe.train.dropout, 0.5, 0.0, 1, 2, 0.1, None))
"""


def start(storage, name, pause=0.01):
    command = [sys.executable, "-W", "error", "-c", DRIVER, str(storage), name, str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trained(process):
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return [number for line in out.splitlines() for number in json.loads(line)]


def assert_each_trained_once(storage, *shares):
    told = sorted(number for share in shares for number in share)
    rows = worker(storage, config=SweepConfig(trials=24, population=3), identity={"asked": 1}).rows()
    assert told == [row["trial"] for row in rows]
    assert len({tuple(row["params"].values()) for row in rows}) == len(rows) == 24


@pytest.mark.slow(reason="starts processes that import JAX")
def test_two_processes_train_all_heads_and_none_twice(storage):
    a, b = start(storage, "a"), start(storage, "b")
    shares = trained(a), trained(b)
    assert_each_trained_once(storage, *shares)
    assert all(shares)


@pytest.mark.slow(reason="starts processes that import JAX")
def test_a_process_that_is_killed_comes_back_to_its_heads(storage):
    killed, other = start(storage, "a", pause=60.0), start(storage, "b")
    lost = json.loads(killed.stdout.readline())
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    share = trained(other)
    assert len(share) == 24 - len(lost) == 21
    again = trained(start(storage, "a"))
    assert again == lost
    assert_each_trained_once(storage, share, again)
