"""Where numbers come from and where they are kept: streams, fingerprints, stored results."""

from tests.mutations.mutation import Mutation

_SEEDS, _CODE, _STORED = "tests/test_seeds.py", "tests/test_provenance.py", "tests/test_results.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/seeds.py",
        "np.random.SeedSequence([_checked(seed), _number(purpose)])",
        "np.random.SeedSequence([_checked(0 * seed), _number(purpose)])",
        "another --seed repeats the same trials",
        (f"{_SEEDS}::test_no_two_purposes_and_no_two_seeds_share_a_stream",),
    ),
    Mutation(
        "ntk_localsgd/seeds.py",
        "return zlib.crc32(purpose.encode())",
        "return len(purpose)",
        "purposes of equal length share a stream",
        (f"{_SEEDS}::test_no_two_purposes_and_no_two_seeds_share_a_stream",),
    ),
    Mutation(
        "ntk_localsgd/seeds.py",
        "int(word >> np.uint64(1)) for word",
        "int(word) for word",
        "seeds of 64 bits, beyond a signed integer",
        (f"{_SEEDS}::test_more_trials_begin_with_the_same_ones_and_fit_a_signed_integer",),
    ),
    Mutation(
        "ntk_localsgd/provenance.py",
        'path.relative_to(common).as_posix().encode() + b"\\0" + path.read_bytes()',
        "path.read_bytes()",
        "fingerprint does not see a renamed module",
        (f"{_CODE}::test_a_folder_counts_whole_and_by_its_files_names",),
    ),
    Mutation(
        "ntk_localsgd/provenance.py",
        'names = [module, *(f"{module}.{alias.name}" for alias in node.names)]',
        "names = [module]",
        "fingerprint does not see modules imported from their package",
        (f"{_CODE}::test_relative_imports_and_packages_that_walk_their_folder",),
    ),
    Mutation(
        "ntk_localsgd/provenance.py",
        'if path.name == "__init__.py" and any(word in text for word in _WALKERS):',
        'if path.name == "walkers.py":',
        "fingerprint does not see what a package imports by walking its folder",
        (f"{_CODE}::test_relative_imports_and_packages_that_walk_their_folder",),
    ),
    Mutation(
        "ntk_localsgd/provenance.py",
        'return name + "+" * bool(changes)',
        "return name",
        "a commit named as if no file differed from it",
        (f"{_CODE}::test_a_commit_says_whether_files_differ_from_it",),
    ),
    Mutation(
        "ntk_localsgd/results.py",
        "[versions(), device or",
        "[device or",
        "results of other library versions are read",
        (f"{_STORED}::test_every_part_of_the_identity_changes_the_name",),
    ),
    Mutation(
        "ntk_localsgd/results.py",
        "        return repr(value)\n    raise",
        "        return str(value)\n    raise",
        "a number and its digits as text share a file",
        (f"{_STORED}::test_no_two_configurations_share_a_file",),
    ),
    Mutation(
        "ntk_localsgd/stored.py",
        'return tuple(_untagged(entry) for entry in value["tuple of"])',
        'return [_untagged(entry) for entry in value["tuple of"]]',
        "tuples come back as lists",
        (f"{_STORED}::test_what_is_read_back_has_the_types_and_shapes_that_were_stored",),
    ),
    Mutation(
        "ntk_localsgd/stored.py",
        'return array if value["shape"] else array[()]',
        "return array",
        "stored scalars come back as arrays",
        (f"{_STORED}::test_what_is_read_back_has_the_types_and_shapes_that_were_stored",),
    ),
)
