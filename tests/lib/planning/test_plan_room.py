"""What is still needed on each file system, and the error when it is not there."""

from pathlib import Path

import pytest

from backfire.errors import BackfireError
from backfire.planning.room import Demand, FileSystem, check_room, disk_usage, file_systems, size
from backfire.planning.sizes import Stage

GB = 10**9
STAGES = [
    Stage("downloads", 3 * GB, (), "ir_datasets"),
    Stage("embeddings", 70 * GB),
    Stage("indexes", 60 * GB),
    Stage("negatives", 2 * GB, passing=12 * GB),
]


def test_too_little_room_names_the_file_system_the_stages_and_what_to_do():
    systems = [FileSystem({"work": "/scratch/me"}, 100 * GB), FileSystem({"ir_datasets": "/home/me/.ir"}, 4 * GB)]
    with pytest.raises(BackfireError) as error:
        check_room([Demand(stage, 0) for stage in STAGES], systems)
    text = str(error.value)
    assert "file system of /scratch/me: the study needs 144 GB more there, 100 GB are free" in text
    assert "Most goes to embeddings 70.0 GB, indexes 60.0 GB, negatives 14.0 GB." in text
    assert "snakemake --directory" in text
    assert "IR_DATASETS_HOME" not in text
    assert text.splitlines()[-1].startswith("Hint: ")


def test_the_home_of_downloads_may_be_the_one_that_is_full():
    systems = [FileSystem({"work": "/scratch/me"}, 200 * GB), FileSystem({"ir_datasets": "/home/me/.ir"}, 2 * GB)]
    with pytest.raises(BackfireError, match="needs 3.0 GB more there, 2.0 GB are free.*\n.*set IR_DATASETS_HOME"):
        check_room([Demand(stage, 0) for stage in STAGES], systems)


def test_places_on_one_file_system_need_their_sum():
    both = {"work": "/scratch/me", "ir_datasets": "/scratch/ir"}
    check_room([Demand(stage, 0) for stage in STAGES], [FileSystem(both, 147 * GB)])
    with pytest.raises(BackfireError, match="needs 147 GB more"):
        check_room([Demand(stage, 0) for stage in STAGES], [FileSystem(both, 147 * GB - 1)])


def test_a_study_that_goes_on_is_not_refused_for_its_own_results():
    begun = [Demand(STAGES[1], 69 * GB), Demand(STAGES[2], 90 * GB), Demand(STAGES[3], 0, passing_there=11 * GB)]
    assert [each.more for each in begun] == [GB, 0, 3 * GB]
    check_room(begun, [FileSystem({"work": "/scratch/me"}, 4 * GB)])
    # What passed is not needed again once the rest is there; sizes are estimates.
    assert Demand(STAGES[3], int(1.5 * GB)).more == GB / 2


def test_files_are_counted_once(tmp_path):
    (tmp_path / "results/a").mkdir(parents=True)
    (tmp_path / "results/a/one").write_bytes(b"x" * 100)
    (tmp_path / "results/a/again").hardlink_to(tmp_path / "results/a/one")
    (tmp_path / "results/two.parquet").write_bytes(b"x" * 10)
    assert disk_usage(("results",), tmp_path) == 110
    assert disk_usage(("results/*",), tmp_path) == disk_usage(("results/*.parquet",), tmp_path) == 10
    assert disk_usage(("results/*/one", "nowhere"), tmp_path) == 100


def test_folders_of_one_device_are_one_file_system(tmp_path):
    here, later = tmp_path, tmp_path / "not/yet/there"
    [system] = file_systems({"work": here, "ir_datasets": later})
    assert system.places == {"work": str(here), "ir_datasets": str(later)}
    assert system.free > 0
    assert len(file_systems({"work": here, "tmp": Path("/proc")})) == 2


def test_sizes_in_words():
    assert [size(count) for count in (7, 1500, 2.5e6, 99.4e9, 99.6e9, 1.2e12)] == [
        "7 B",
        "1.5 kB",
        "2.5 MB",
        "99.4 GB",
        "100 GB",
        "1.2 TB",
    ]
