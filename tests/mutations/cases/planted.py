"""The path method's proof, one step left out at a time, beside the planted cases that need it."""

from tests.mutations.mutation import Mutation

_DIR = "ntk_localsgd/certificate"
_TWO, _TWO_TESTS = f"{_DIR}/two_layer", "tests/certificate/two_layer"
_PLANTED = f"{_TWO_TESTS}/test_planted.py"

MUTATIONS = (
    Mutation(
        f"{_DIR}/flow.py",
        "(eta * y_sum.sum(axis=0) + (reach + bent) * total_error)",
        "(eta * y_sum.sum(axis=0) + reach * total_error)",
        "weights: local errors do not bend",
        (f"{_PLANTED}::test_an_error_s_local_steps_bend_too",),
    ),
    Mutation(
        f"{_DIR}/flow.py",
        "local_bent = eta * y_sum.max(axis=0, initial=0.0) + bent * largest",
        "local_bent = eta * y_sum.max(axis=0, initial=0.0)",
        "a client's own steps: local errors do not bend",
        (f"{_PLANTED}::test_an_error_s_local_steps_bend_too",),
    ),
    Mutation(
        f"{_DIR}/flow.py",
        "forcing = absolute.sum(axis=0) @ forced + rows * norms",
        "forcing = absolute.sum(axis=0) @ forced",
        "forcing by the prediction alone",
        (f"{_PLANTED}::test_errors_force_the_round_as_the_prediction_does",),
    ),
    Mutation(
        f"{_DIR}/flow.py",
        "(eta / num_clients * (push + second) + model.norm * defect)",
        "(eta / num_clients * push + model.norm * defect)",
        "flow: the second order of the round",
        (f"{_PLANTED}::test_changes_of_a_round_act_on_one_another",),
    ),
    Mutation(
        f"{_DIR}/flow.py",
        "worst = np.maximum(worst, np.abs(path[:-1] + points - hull).max(axis=0))",
        "pass",
        "local paths lie in the hull of averaged ones",
        (f"{_PLANTED}::test_local_paths_beside_the_hull_are_within_their_spread",),
    ),
    Mutation(
        f"{_TWO}/pairs.py",
        "(fixed.sensitivity + fixed.local_sensitivity) * error + own",
        "fixed.sensitivity * error + own",
        "M^(k)e of a client's own steps dropped",
        (f"{_PLANTED}::test_an_error_moves_one_client_s_own_local_models_further",),
    ),
    Mutation(
        f"{_TWO}/pairs.py",
        "(fixed.sensitivity + fixed.local_sensitivity) * error + own",
        "(fixed.sensitivity + fixed.local_sensitivity) * error",
        "the bent part of a client's own steps dropped",
        (f"{_PLANTED}::test_one_client_s_own_local_steps_bend",),
    ),
    Mutation(
        f"{_TWO}/pairs.py",
        "(self._drift[j] + np.abs(v @ self._inverse.matrix) @ bound.forcing + pad + wide)",
        "(self._drift[j] + pad + wide)",
        "forcing of the past dropped",
        (f"{_PLANTED}::test_what_changes_have_forced_in_the_past_counts",),
    ),
    Mutation(
        f"{_TWO}/pairs.py",
        "self._below[j] = (self._below[j] + below) * SLACK",
        "self._below[j] = self._below[j] * SLACK",
        "samples that switched in the past took nothing",
        (f"{_PLANTED}::test_samples_that_have_switched_in_the_past_count",),
    ),
    Mutation(
        f"{_TWO}/pairs.py",
        "self._above[j] = (self._above[j] + above) * SLACK",
        "self._above[j] = self._above[j] * SLACK",
        "samples that switched in the past added nothing",
        (f"{_PLANTED}::test_samples_that_have_switched_in_the_past_count",),
    ),
    Mutation(
        f"{_TWO}/path.py",
        "start = (self.error + ahead) * SLACK",
        "start = (ahead or self.error) * SLACK",
        "the tail begins without the error so far",
        (f"{_PLANTED}::test_the_tail_begins_with_the_error_so_far_and_all_that_is_left_to_predict",),
    ),
    Mutation(
        f"{_TWO}/path.py",
        "start = (self.error + ahead) * SLACK",
        "start = self.error * SLACK",
        "the tail begins without what is left of the prediction",
        (f"{_PLANTED}::test_the_tail_begins_with_the_error_so_far_and_all_that_is_left_to_predict",),
    ),
    Mutation(
        f"{_TWO}/path.py",
        "if uncertain.sum() == size:",
        "if size >= 0:",
        "the set counts as closed after one sweep",
        (f"{_PLANTED}::test_pairs_pushed_by_a_sample_that_itself_must_be_pushed_are_found_by_a_second_sweep",),
    ),
    Mutation(
        f"{_TWO}/reach.py",
        "    if local:\n",
        "    if not local:\n",
        "own local steps of switching samples push nothing",
        (f"{_PLANTED}::test_a_switching_sample_s_own_local_steps_push",),
    ),
    Mutation(
        f"{_TWO}/reach.py",
        "first, last = predicted.first_local * own, predicted.moved + predicted.last_local * own",
        "first, last = predicted.first_local, predicted.moved + predicted.last_local",
        "all clients' local steps act together and cancel",
        (f"{_PLANTED}::test_local_paths_beside_the_hull_are_within_their_spread",),
    ),
    Mutation(
        f"{_TWO}/reach.py",
        "np.stack([predicted.moved, first, last])",
        "np.stack([predicted.moved, predicted.moved, predicted.moved])",
        "clients take no local steps",
        (f"{_PLANTED}::test_local_paths_beside_the_hull_are_within_their_spread",),
    ),
    Mutation(
        f"{_TWO}/pairs.py",
        "self._drift[j] += self._leverage(j, near.patterns) * error * SLACK",
        "self._drift[j] += 0.0",
        "u₀e(0): the first error moves nothing",
        (f"{_PLANTED}::test_an_error_before_the_prediction_s_way_moves_what_the_way_has_moved",),
    ),
    Mutation(
        f"{_TWO}/pairs.py",
        "self._drift[j] = (self._drift[j] + change * error) * SLACK",
        "self._drift[j] = self._drift[j] * SLACK",
        "Abel's (u' − u)e dropped at a re-basing",
        (f"{_PLANTED}::test_an_error_before_the_prediction_s_way_moves_what_the_way_has_moved",),
    ),
    Mutation(
        f"{_TWO}/reach.py",
        "norm = self.past_norm + self.bound.weight_norm",
        "norm = self.bound.weight_norm",
        "reach of pre-activations: the past's deviation dropped",
        (f"{_PLANTED}::test_neurons_beyond_those_kept_are_reached_by_the_past_too",),
    ),
    Mutation(
        f"{_TWO}/reach.py",
        "up, down = self.past_up + self.predicted.up, self.past_down + self.predicted.down",
        "up, down = self.predicted.up, self.predicted.down",
        "reach of pre-activations: the past's prediction dropped",
        (f"{_PLANTED}::test_neurons_beyond_those_kept_are_reached_by_the_past_too",),
    ),
)
