"""Linear algebra has one thread where asked, and as many as before afterwards."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ntk_localsgd import kernels
from ntk_localsgd.kernels import spectrum
from ntk_localsgd.threads import one_thread, threads_for


def _threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_thread_in_the_function_and_as_before_after_it_even_where_it_raises():
    seen = []

    @one_thread()
    def failing():
        seen.append(_threads())
        raise KeyError

    with threadpool_limits(2, user_api="blas"):
        for _ in range(2):
            with pytest.raises(KeyError):
                failing()
        assert seen == [{1}, {1}]
        assert _threads() == {2}


def test_blocks_of_two_threads_may_overlap():
    """Entered A, B, left A, B: one thread until B is left, and then as many as before."""
    with threadpool_limits(2, user_api="blas"):
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert _threads() == {1}
        second.__exit__(None, None, None)
        assert _threads() == {2}


@pytest.mark.parametrize(("rows", "threads"), [(8, 2), (40, 1), (499, 1), (500, 2)])
def test_only_matrices_of_few_rows_are_given_one(rows, threads):
    with threadpool_limits(2, user_api="blas"), threads_for(rows):
        assert _threads() == {threads}


@pytest.mark.parametrize("enclose", [kernels.smallest_eigenvalue, kernels.spectral_norm])
def test_enclosures_of_few_rows_are_computed_by_one_thread(monkeypatch, enclose):
    seen, real = [], spectrum.lapack_extreme

    def watched(a, **options):
        seen.append(_threads())
        return real(a, **options)

    monkeypatch.setattr(spectrum, "lapack_extreme", watched)
    with threadpool_limits(2, user_api="blas"):
        enclose(np.eye(60) + 1)
    assert seen
    assert all(threads == {1} for threads in seen)
