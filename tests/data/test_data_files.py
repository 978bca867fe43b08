import errno
import os
import resource
import shutil

import pytest

from keras_vqvae.data import atomic_write
from keras_vqvae.data.files import remove_leftovers


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_with_the_suffix_into_new_folders(tmp_path):
    target = tmp_path / "new" / "folder" / "x.keras"
    with atomic_write(str(target)) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".keras"
        assert not target.exists()
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(target.parent) == ["x.keras"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "x"
    target.write_text("old")

    def fail():
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_full_disk_when_flushing(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with (
        pytest.raises(OSError, match="No space left") as info,
        atomic_write(tmp_path / "x") as file,
    ):
        file.write_bytes(b"data")
    assert info.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_write_that_the_system_cuts_off(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"), atomic_write(tmp_path / "x") as file:
            file.write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_write(tmp_path / "link") as file:
        file.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="`path` should be a file"), atomic_write(tmp_path):
        pass


def test_permissions_follow_the_umask(tmp_path):
    with atomic_write(tmp_path / "x") as file:
        file.write_text("")
    (tmp_path / "y").write_text("")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_long_names(tmp_path):
    with atomic_write(tmp_path / ("ž" * 120 + ".npz")) as file:
        file.write_text("")
    assert len(names(tmp_path)) == 1


def test_what_a_killed_process_left_of_a_write_is_removed_and_nothing_else(tmp_path):
    for name in ("a[1].npz", "ž" * 120 + ".npz", "plain"):
        target = tmp_path / "folder" / name
        with atomic_write(target) as temporary:
            half = temporary.name
        (target.parent / half).write_text("half")
        # One letter too many, no random part, another suffix: none of them is this file's.
        others = {half.replace(".tmp", "0.tmp"), f".{target.stem}.tmp{target.suffix}", half + "x"}
        for other in others:
            (target.parent / other).write_text("mine")
        remove_leftovers(target)
        assert set(names(target.parent)) == {name, *others}
        shutil.rmtree(target.parent)
        remove_leftovers(target)


def test_leftovers_lie_beside_what_a_link_points_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "real")
    with atomic_write(tmp_path / "link") as temporary:
        pass
    temporary.write_text("half")
    remove_leftovers(tmp_path / "link")
    assert names(tmp_path / "folder") == ["real"]
