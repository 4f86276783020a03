"""What ``--only`` chooses: works, and sizes of them."""

from collections.abc import Mapping, Sequence

from ntk_localsgd.errors import InputError


def chosen(only: Sequence[str], sizes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The sizes to measure of each work, both in the order of ``sizes``.

    Parameters
    ----------
    only
        Choices ``work`` or ``work:part,part``: all its sizes, or those whose label has every part among its own, which
        commas divide; spaces do not count. None: everything.
    sizes
        Labels of every work.

    Raises
    ------
    InputError
        For a work or a size that is not there.
    """
    labels = {work: set() if only else set(every) for work, every in sizes.items()}
    for choice in only:
        work, _, wanted = choice.partition(":")
        if work not in sizes:
            raise InputError(f"only names {work!r}, needs names out of {', '.join(sizes)}.")
        found = {label for label in sizes[work] if _parts(wanted) <= _parts(label)}
        if not found:
            there = "; ".join(sizes[work])
            raise InputError(f"only names {wanted!r}, needs parts of a size of {work}: {there}.")
        labels[work] |= found
    return {work: [label for label in every if label in labels[work]] for work, every in sizes.items() if labels[work]}


def _parts(label: str) -> set[str]:
    return {part for part in label.replace(" ", "").split(",") if part}
