"""The deep certificate: one term of a bound, or one rounding error, left out at a time."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "ntk_localsgd/certificate/deep", "tests/certificate/deep"
_BOUNDS, _CERTIFIER = f"{_TESTS}/test_bounds.py", f"{_TESTS}/test_certifier.py"
_FROZEN, _CLOSING = f"{_TESTS}/test_frozen.py", f"{_TESTS}/test_closing.py"
_SECTOR = f"{_TESTS}/test_sector.py"
_WALK = f"{_BOUNDS}::test_no_walk_leaves_the_bounds"
_REST = f"{_BOUNDS}::test_no_walk_leaves_the_remainder"
_ROUNDED = f"{_FROZEN}::test_rounding_is_covered_exactly"

MUTATIONS = (
    Mutation(
        f"{_DIR}/frozen.py",
        "return (vectors * self.slopes[layer - 1][:, None]) @ self.weights.hidden[layer].T",
        "return vectors @ self.weights.hidden[layer].T",
        "propagators without slopes",
        (_FROZEN,),
    ),
    Mutation(
        f"{_DIR}/frozen.py",
        "self.product = gamma(max(sizes) + 16) * SLACK",
        "self.product = 1e-4 * gamma(1)",
        "products without rounding",
        (_ROUNDED,),
    ),
    Mutation(
        f"{_DIR}/frozen.py",
        "upper.append(pushed + bent[-1] @ self.weights.hidden[layer + 1])",
        "upper.append(pushed)",
        "moved weights of one layer alone bend the gradient",
        (_FROZEN,),
    ),
    Mutation(
        f"{_DIR}/state.py",
        "~np.where(frozen.on, frozen.pre + low > 0, frozen.pre + high < 0) | frozen.half",
        "~np.where(frozen.on, frozen.pre + low > 0, frozen.pre + high < 0) & frozen.on",
        "neurons that are off never switch on",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/state.py",
        "active = frozen.on | uncertain",
        "active = frozen.on",
        "hidden layers: neurons that switch on add nothing",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/backward.py",
        "own, switched_entries[layer], summed[layer] = cross_of(frozen, layer, sources, weights)",
        "own, switched_entries[layer] = 0 * seen, cross_of(frozen, layer, sources, weights)[1]",
        "switches of two samples have no product",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/backward.py",
        "total += np.matmul(np.abs(frozen.bent_rows[layer]), seen[:, :, None])[:, :, 0]",
        "total += 0.0",
        "δb·b: moved weights left out",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/backward.py",
        "upper[layer] += members @ np.abs(sources[above].ungated[layer])",
        "upper[layer] += 0.0",
        "switches change no c below",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/kernel.py",
        "total = np.maximum(up + up.T, down + down.T) + bent + bent.T",
        "total = np.maximum(up, down) + bent + bent.T",
        "E: one sample's switches for both's",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/kernel.py",
        "total += (np.abs(frozen.back_products[layer]) + along + along.T) * change",
        "total += 0.0 * change",
        "E: inner products of hidden layers stay",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/kernel.py",
        "one = on_path[below] + state.hidden_deviation[below] + bent",
        "one = state.hidden_deviation[below] + bent",
        "hidden layers stay where they are to first order",
        (_WALK,),
    ),
    Mutation(
        f"{_DIR}/forward.py",
        "pushes[k] += np.matmul(share[:, None], np.abs(vectors))[:, 0]",
        "pushes[k] += 0.0",
        "switches push nothing",
        (_REST,),
    ),
    Mutation(
        f"{_DIR}/forward.py",
        "entries[layer] += change @ np.abs(frozen.lower[layer])",
        "entries[layer] += 0.0",
        "changed inner products push nothing",
        (f"{_BOUNDS}::test_changed_inner_products_push_along_every_frozen_gradient",),
    ),
    Mutation(
        f"{_DIR}/forward.py",
        "return self.pushes * factor**2 * SLACK",
        "return self.pushes * factor * SLACK",
        "pushes of moved weights grow with the weights, not with their square",
        (f"{_BOUNDS}::test_what_moved_weights_push_is_kept_for_a_little_more",),
    ),
    Mutation(
        f"{_DIR}/path.py",
        "return [averaged, *(averaged[:-1] + steps * own for steps in local[1:])]",
        "return [averaged]",
        "clients take no local steps",
        (f"{_TESTS}/test_path.py",),
    ),
    Mutation(
        f"{_DIR}/path.py",
        "norms[-1] = self.model.inverse_norm * rest",
        "pass",
        "constant: the tail in the 2-norm",
        (f"{_TESTS}/test_path.py",),
    ),
    Mutation(
        f"{_DIR}/closing.py",
        "if found.state.holds_in(state):",
        "if number:",
        "the state counts as closed after one sweep",
        (_CLOSING,),
    ),
    Mutation(
        f"{_DIR}/closing.py",
        "total = along + np.linalg.norm(deviation, axis=1).max() + np.linalg.norm(gradients)",
        "total = 0.5 * along",
        "radius: half of the predicted path",
        (f"{_CERTIFIER}::test_random_certificates_are_kept",),
    ),
    Mutation(
        f"{_DIR}/free.py",
        "second[k] = members @ np.abs(inner) @ members.T / 4",
        "second[k] = members @ np.abs(inner) @ members.T",
        "free triples: products of two of them taken from E four times",
        (f"{_SECTOR}::test_gradients_change_by_free_triples_and_what_is_left",),
    ),
    Mutation(
        f"{_DIR}/free.py",
        "halves = members @ np.abs(effects) / 2",
        "halves = members @ np.abs(effects)",
        "free triples: their first order taken from E twice",
        (f"{_SECTOR}::test_gradients_change_by_free_triples_and_what_is_left",),
    ),
    Mutation(
        f"{_DIR}/sector.py",
        "matrix = np.concatenate([started.end, 0.5 * root[:, None] * started.arguments])",
        "matrix = np.concatenate([started.end, 0.25 * root[:, None] * started.arguments])",
        "feedback of half the size",
        (f"{_SECTOR}::test_no_slopes_beat_the_contraction",),
    ),
    Mutation(
        f"{_DIR}/sector.py",
        "change = eta * (gram @ residuals + effects.T @ pushed) + place @ feedback[-1]",
        "change = eta * gram @ residuals + place @ feedback[-1]",
        "gradients of free triples move nobody",
        (f"{_SECTOR}::test_the_unrolled_round_is_the_round",),
    ),
    Mutation(
        f"{_DIR}/sector.py",
        "added = self.growth(rest, chain, changes)",
        "added = 0.1 * self.growth(rest, chain, changes)",
        "rate: a tenth of what is left of E",
        (f"{_SECTOR}::test_no_slopes_and_no_rest_beat_the_rate",),
    ),
    Mutation(
        f"{_DIR}/sector.py",
        "return (math.sqrt(self.contraction**2 + 2 * argument * moved + moved**2) + added) * SLACK",
        "return (self.model.contraction + added) * SLACK",
        "rate: free triples feed nothing back",
        (f"{_SECTOR}::test_a_neuron_that_turns_off_is_planted",),
    ),
    Mutation(
        f"{_DIR}/path.py",
        "return (total + self.spread * by.spread + self.pushes @ by.pushes + self.gains @ by.gains) * SLACK",
        "return (total + self.spread * by.spread) * SLACK",
        "free triples move no weights",
        (f"{_SECTOR}::test_a_weight_that_a_free_triple_pushes_moves_every_row",),
    ),
    Mutation(
        f"{_DIR}/certifier.py",
        "pairs = [(part[:, None] * len(outputs) + number).ravel() for part in clients.indices]",
        "pairs = [(part[:, None] + len(targets) * number).ravel() for part in clients.indices]",
        "outputs first, samples second",
        (f"{_CERTIFIER}::test_all_outputs_of_a_sample_belong_to_its_client",),
    ),
)
