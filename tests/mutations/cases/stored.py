"""Results on disk: sums, names, what is read and what is deleted."""

from tests.mutations.mutation import Mutation

_STORED, _TESTS = "ntk_localsgd/stored.py", "tests/test_stored.py"
_CLI, _CLI_TESTS = "ntk_localsgd/cli/results.py", "tests/cli/test_results.py"

MUTATIONS = (
    Mutation(
        _STORED,
        'return file.read() == _MARK + digest.hexdigest().encode() + b"\\n"',
        "return True",
        "flipped bits are read silently",
        (f"{_TESTS}::test_every_damage_is_seen_and_named",),
    ),
    Mutation(
        _STORED,
        'hashlib.sha256(path.name.encode() + b"\\0")',
        'hashlib.sha256(b"\\0")',
        "whole files have wrong sums",
        (f"{_TESTS}::test_whole_files_are_whole_and_absent_ones_are_not",),
    ),
    Mutation(
        _STORED,
        'if configuration is not None and result.attrs.get("configuration") != configuration:',
        "if configuration is None:",
        "a file of another configuration is read",
        (f"{_TESTS}::test_files_without_a_sum_are_those_of_earlier_versions_and_checked_by_what_they_hold",),
    ),
    Mutation(
        _STORED,
        "whole = _sum_is_right(path) if _has_sum(path) else _is_bare(path)",
        "whole = _sum_is_right(path) if _has_sum(path) else h5py.is_hdf5(path)",
        "a file whose end is lost is read without its sum",
        (f"{_TESTS}::test_every_damage_is_seen_and_named",),
    ),
    Mutation(
        _STORED,
        "if error.errno in _REFUSED:",
        "if error.errno is None:",
        "a whole file is taken for damaged when the system has no handle left",
        ("tests/test_stored.py::test_a_whole_file_that_the_system_does_not_open_stays_where_it_is",),
    ),
    Mutation(
        _STORED,
        "return not is_alive(int(pid))",
        "return True",
        "a file that is being written is deleted",
        (f"{_TESTS}::test_a_writer_that_is_killed_leaves_no_result_and_what_it_leaves_is_found",),
    ),
    Mutation(
        _STORED,
        "            temporary.unlink(missing_ok=True)",
        "            pass",
        "a full disk is left with half a file",
        (f"{_TESTS}::test_a_full_disk_is_one_sentence_and_leaves_no_file",),
    ),
    Mutation(
        _CLI,
        "if not self.dry_run:",
        "if self.folder:",
        "a rehearsal deletes",
        (f"{_CLI_TESTS}::test_prune_deletes_what_is_asked_for_and_says_so_first",),
    ),
)
