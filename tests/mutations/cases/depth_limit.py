"""Deep networks with biases: product form, activation domains, tails in depth."""

from tests.mutations.mutation import Mutation

_NETWORKS, _DOMAINS = "tests/networks/test_feedforward.py", "tests/networks/test_domains.py"
_BOUNDS = "tests/bounds/test_xu_zhang.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/networks/feedforward.py",
        "        maps, sizes = maps * active[..., None], sizes * active[..., None]\n",
        "        maps[..., :-1] *= active[..., None]\n",
        "biases of inactive neurons stay in the product form",
        (f"{_NETWORKS}::test_product_form_is_the_network_within_the_stated_rounding",),
    ),
    Mutation(
        "ntk_localsgd/networks/feedforward.py",
        "            sizes[..., -1] += np.abs(b)",
        "            sizes[..., -1] += b",
        "rounding of the product form: biases that cancel",
        (f"{_NETWORKS}::test_rounding_adds_moduli_where_terms_cancel",),
    ),
    Mutation(
        "ntk_localsgd/networks/domains.py",
        "scale += more + shift",
        "scale += more",
        "activation domains: biases over another power of two than weights",
        (f"{_DOMAINS}::test_tent_map_doubles_its_pieces_and_identity_layers_have_one_domain",),
    ),
    Mutation(
        "ntk_localsgd/networks/domains.py",
        "line if here == 0 and there < 0 else edge",
        "edge",
        "a cut through a corner keeps the old edge",
        (f"{_DOMAINS}::test_a_cut_through_corners_is_an_edge_of_both_parts",),
    ),
    Mutation(
        "ntk_localsgd/bounds/xu_zhang_2021.py",
        "m * (m - 1) / sp.Integer(2)",
        "m * (m - 1)",
        "X4: pairs of lines counted twice",
        (f"{_DOMAINS}::test_lines_in_general_position_reach_the_bound_of_one_layer_and_concurrent_ones_do_not",),
    ),
    Mutation(
        "ntk_localsgd/bounds/xu_zhang_2021.py",
        "np.expm1(_log_growth(deviations, rest))",
        "np.expm1(_log_growth(deviations, rest)) / 2",
        "X2: half the tail",
        (f"{_BOUNDS}::test_no_tail_is_above_its_bounds",),
    ),
    Mutation(
        "ntk_localsgd/bounds/xu_zhang_2021.py",
        "largest * tails[0] + tails[1]",
        "largest * tails[0]",
        "X2: the biases' own tail left out",
        (f"{_BOUNDS}::test_tails_match_the_formulas_written_out",),
    ),
)
