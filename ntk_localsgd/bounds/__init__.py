"""The theorems' bounds as sympy expressions, one module per paper, one theorem per function.

A letter says how much is certain about a formula: S stated in an abstract, P published and confirmed, R published but
recalled (exponents or constants not confirmed), D derived here with proof (``docs/theory.md``).
"""

from ntk_localsgd.bounds import (
    allen_zhu_li_song_2019,
    deng_kamani_mahdavi_2022,
    derived,
    du_2019,
    gaussian,
    hoeffding_1963,
    huang_2021,
    oymak_soltanolkotabi_2020,
    song_yang_2019,
    tropp_2012,
    zou_gu_2019,
)
from ntk_localsgd.bounds.bound import SYMBOLS, Bound

__all__ = ["BOUNDS", "SYMBOLS", "Bound"]

#: Every bound by the id of its claim.
BOUNDS: dict[str, Bound] = {
    bound.claim: bound
    for bound in (
        oymak_soltanolkotabi_2020.theorem_separation(),
        hoeffding_1963.theorem_2_gram_entries(),
        derived.gram_from_entries(),
        tropp_2012.theorem_5_1_gram(),
        gaussian.anti_concentration(),
        du_2019.lemma_3_2_stability(),
        song_yang_2019.lemma_stability(),
        derived.loss_at_init(),
        derived.semi_gradient_lipschitz(),
        derived.client_drift(),
        du_2019.corollary_4_1_movement(),
        du_2019.theorem_4_1_convergence(),
        allen_zhu_li_song_2019.lemma_hidden_norms(),
        allen_zhu_li_song_2019.theorem_gradient_upper(),
        allen_zhu_li_song_2019.theorem_gradient_lower(),
        zou_gu_2019.lemma_gradient_lower(),
        allen_zhu_li_song_2019.lemma_pattern_perturbation(),
        allen_zhu_li_song_2019.lemma_forward_perturbation(),
        allen_zhu_li_song_2019.theorem_semi_smoothness(),
        zou_gu_2019.lemma_trajectory(),
        deng_kamani_mahdavi_2022.lemma_semi_gradient_lipschitz(),
        deng_kamani_mahdavi_2022.theorem_local_gd(),
        deng_kamani_mahdavi_2022.theorem_local_sgd(),
        huang_2021.theorem_convergence(),
    )
}
