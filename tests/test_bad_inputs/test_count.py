"""How many bad inputs there are, by theme."""

from tests.test_bad_inputs import (
    test_files,
    test_flags,
    test_lying_paths,
    test_lying_replies,
    test_lying_wire,
    test_places,
)

CASES = {
    "addresses": len(test_flags.SOURCES) + len(test_flags.DESTINATIONS),
    "flags and commands": len(test_flags.FLAGS) + len(test_flags.SELECTIONS) + len(test_flags.COMMANDS),
    "lists and new names": len(test_files.LISTS) + len(test_files.RENAMES) + len(test_files.MERGING),
    "configuration": len(test_files.CONFIGURATIONS) + len(test_files.KEYS),
    "environment": len(test_files.VARIABLES) + len(test_files.STRANGERS),
    "stores": len(test_places.STORES),
    "work directories": len(test_places.WORK_DIRS) + len(test_places.LEDGERS) + len(test_places.WORK_PATHS),
    "replies": len(test_lying_replies.ROUTES) * len(test_lying_replies.SHAPES) + len(test_lying_replies.LIES),
    "the wire": len(test_lying_wire.RAW) + len(test_lying_wire.REPLIES),
    "paths and ids": len(test_lying_paths.UNSAFE) + len(test_lying_paths.IDS),
}


def test_there_are_hundreds_of_cases() -> None:
    print(CASES, sum(CASES.values()))
    assert min(CASES.values()) >= 15
    assert sum(CASES.values()) >= 600
