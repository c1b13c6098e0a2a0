import threading
import time

import pytest

from tinyscale.train.lock import FolderLockedError, hold_folder


def test_a_folder_has_one_holder(tmp_path):
    with (
        hold_folder(tmp_path / "trial"),
        pytest.raises(FolderLockedError, match="in use by another process"),
        hold_folder(tmp_path / "trial", patience_s=0.1),
    ):
        pytest.fail("two held it")
    with hold_folder(tmp_path / "trial", patience_s=0.0):
        pass


def test_a_dying_predecessor_is_waited_for(tmp_path):
    held = threading.Event()

    def predecessor():
        with hold_folder(tmp_path):
            held.set()
            time.sleep(0.2)

    thread = threading.Thread(target=predecessor)
    thread.start()
    held.wait()
    started = time.monotonic()
    with hold_folder(tmp_path, patience_s=10.0):
        assert time.monotonic() - started > 0.1
    thread.join()
