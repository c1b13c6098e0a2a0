import pytest

from tinyscale.results.journal import Journal, read_journal
from tinyscale.spec import Record


def record(step, **metrics):
    return Record(step=step, tokens=step * 10, time_s=1.5, metrics=metrics or {"train/loss": 1 / 3})


def test_records_come_back_as_written(tmp_path):
    path = tmp_path / "trial" / "journal.jsonl"
    with Journal(path) as journal:
        assert journal.append(record(1))
        assert journal.append(record(2, **{"eval/bpb": 0.1}))
        journal.sync()
    records, offset = read_journal(path)
    assert records == [record(1), record(2, **{"eval/bpb": 0.1})]
    assert offset == path.stat().st_size


def test_a_step_is_accepted_once_over_all_lives(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        assert journal.append(record(5))
        assert not journal.append(record(5))
    with Journal(path) as journal:
        assert not journal.append(record(4))
        assert not journal.append(record(5))
        assert journal.append(record(6))
    assert [r.step for r in read_journal(path)[0]] == [5, 6]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_trimmed(tmp_path, cut):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(record(1))
        journal.append(record(2))
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path) as journal:
        assert journal.last_step == 1
        assert journal.append(record(2))
    assert [r.step for r in read_journal(path)[0]] == [1, 2]


def test_a_reader_follows_a_writer(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert read_journal(path) == ([], 0)
    with Journal(path) as journal:
        journal.append(record(1))
        first, offset = read_journal(path)
        journal.append(record(2))
        with path.open("ab") as file:
            file.write(b'{"step": 3')
        second, offset = read_journal(path, offset)
        assert ([r.step for r in first], [r.step for r in second]) == ([1], [2])
        assert read_journal(path, offset) == ([], offset)


def test_a_line_that_is_no_record_is_an_error(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"step": 1}\n')
    with pytest.raises(ValueError, match=r"journal\.jsonl: not a journal"):
        Journal(path)


def test_a_metric_that_json_cannot_say_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal, pytest.raises(ValueError, match="JSON"):
        journal.append(record(1, **{"train/loss": float("nan")}))
    assert path.read_bytes() == b""
