"""The measures on two arrays: values of the definitions, computed elsewhere."""

import numpy as np
import pytest

import nncli.similarity
from nncli.similarity import (
    METRICS,
    gulp,
    linear_cka,
    procrustes,
    pwcca,
    svcca,
)

pytestmark = pytest.mark.filterwarnings("ignore::nncli.errors.NncliWarning")  # of saturation

SEED = 20210803

# in float64, from singular value decompositions of the whole centred matrices:
# linear CKA, mean CCA, SVCCA at 99 %, PWCCA weighted by x and by y, squared Procrustes distance
REFERENCE = {
    "tall": (
        0.795356945262,
        0.590543426684,
        0.772500894598,
        0.90029430156,
        0.912160337314,
        0.1638588359,
    ),
    "square": (
        0.766180590794,
        0.511146073449,
        0.690343802833,
        0.875017151625,
        0.871313620588,
        0.177721020786,
    ),
    "wide": (0.954169414639, 1.0, 0.724650837908, 1.0, 1.0, 0.0346592082618),
    "rot": (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    "affine": (0.927481562626, 1.0, 0.943522742195, 1.0, 1.0, 0.0494104638795),
    "null": (
        0.15823184239,
        0.447770037621,
        0.441979595184,
        0.44847722883,
        0.447354485318,
        1.29634998493,
    ),
    "dead": (
        0.78283058074,
        0.611270077284,
        0.86297350501,
        0.912090445256,
        0.921775075182,
        0.17617861523,
    ),
    "offset": (
        0.795356086695,
        0.590533367992,
        0.772488208827,
        0.900290991575,
        0.912165021335,
        0.163860822517,
    ),
    "self": (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
}


# the same for further measures, in the order of CASES
FURTHER = {
    "cca": (
        0.590543426684,
        0.511146073449,
        1.0,
        1.0,
        1.0,
        0.447770037621,
        0.611270077284,
        0.590533367992,
        1.0,
    ),
    "cca-r2": (
        0.44166350108,
        0.370831675306,
        1.0,
        1.0,
        1.0,
        0.232372187999,
        0.466189848096,
        0.441658815158,
        1.0,
    ),
    "debiased-cka": (
        0.787501709261,
        0.756849679137,
        0.947747023065,
        1.0,
        0.924804698913,
        -0.0064375495886,
        0.774545345287,
        0.787500765703,
        1.0,
    ),
    "cka-lange": (
        0.787541490621,
        0.756898602214,
        0.947917410053,
        1.0,
        0.924819082288,
        -0.0054383420233,
        0.774587337753,
        0.787540547799,
        1.0,
    ),
    "angular-cka": (
        0.651200093368,
        0.697919865875,
        0.303924338001,
        0.0,
        0.383176930314,
        1.411896648897,
        0.671594382678,
        0.651201509814,
        0.0,
    ),
    "procrustes-angular": (
        0.407610748737,
        0.42475556927,
        0.186439745019,
        4.94215606206e-08,
        0.22274484158,
        1.2112762784,
        0.422880274584,
        0.407613254447,
        0.0,
    ),
    "procrustes-size-shape": (
        127.768703941,
        128.133820549,
        37.8054038607,
        621.490878921,
        1596.31850938,
        101.224283459,
        132.344315189,
        127.769098891,
        0.0,
    ),
    "linear-r2": (
        0.980129935576,
        0.977590045322,
        1.0,
        1.0,
        1.0,
        0.233567298527,
        0.980740033078,
        0.980129086524,
        1.0,
    ),
    "gulp": (
        0.461827092977,
        0.45456594685,
        0.23848032401,
        0.0,
        0.165445047405,
        30.6445606766,
        0.487384733715,
        0.461846706056,
        0.0,
    ),
    "rbf-cka": (
        0.815329618899,
        0.78772665173,
        0.962379078483,
        1.0,
        0.936480013457,
        0.246587004612,
        0.802702822066,
        0.815328554809,
        1.0,
    ),
    "mutual-knn": (0.536, 0.4995, 0.8225, 0.909, 0.702, 0.053, 0.5135, 0.5305, 1.0),
    "jaccard-knn": (
        0.380922114951,
        0.345864756159,
        0.70815018315,
        0.844157509158,
        0.55451223613,
        0.0285827313381,
        0.359442426339,
        0.373928963194,
        1.0,
    ),
}


# dimensions kept at 99 % of the variance, ranks
DIMENSIONS = {
    "tall": ((14, 21), (32, 48)),
    "square": ((16, 18), (40, 40)),
    "wide": ((20, 18), (39, 39)),
    "affine": ((16, 12), (40, 40)),
    "null": ((32, 47), (32, 48)),
    "dead": ((12, 21), (29, 48)),
}


# how near a root or an arccos comes beside its branch point
ROOTS = {
    "angular-cka": 1e-6,
    "procrustes-angular": 1e-6,
    "procrustes-size-shape": 1e-4,
    "shape-metric": 1e-6,
}


@pytest.mark.parametrize("name", REFERENCE)
def test_values_are_those_of_the_definitions(name, case):
    x, y = case(name)
    found = (
        linear_cka(x, y),
        svcca(x, y, variance=1.0),
        svcca(x, y),
        pwcca(x, y),
        pwcca(y, x),
        procrustes(x, y),
    )
    # float32 input cannot be closer; everything else is to all digits
    assert found == pytest.approx(REFERENCE[name], abs=2e-4 if name == "offset" else 1e-10)


@pytest.mark.parametrize("name", FURTHER)
@pytest.mark.parametrize("inputs", REFERENCE)
def test_values_of_further_measures_are_those_of_the_definitions(name, inputs, case):
    expected = FURTHER[name][list(REFERENCE).index(inputs)]
    found = METRICS[name].function(*case(inputs))
    rough = 2e-2 if "knn" in name else 2e-4  # float32 input: near neighbours change places
    assert found == pytest.approx(
        expected, abs=rough if inputs == "offset" else ROOTS.get(name, 1e-8)
    )


@pytest.mark.parametrize("name", REFERENCE)
def test_double_precision_of_shifted_float32_data_is_the_reference_to_all_digits(name, case):
    x, y = (one.astype(np.float64) for one in case(name))
    found = (linear_cka(x, y), svcca(x, y), procrustes(x, y))
    assert found == pytest.approx([REFERENCE[name][i] for i in (0, 2, 5)], abs=1e-10)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_dimensions_kept_are_reported(name, case):
    x, y = (
        nncli.similarity.layer_of(one, side) for one, side in zip(case(name), "xy", strict=True)
    )
    kept, ranks = (
        (one.score.extra["dims_a"], one.score.extra["dims_b"])
        for one in nncli.similarity.compare([x], [y], ["svcca", "pwcca"])
    )
    assert (kept, ranks) == DIMENSIONS[name]


@pytest.mark.parametrize(
    ("how", "cka", "distance"),
    [
        ("flatten", 0.976075731904, 0.0402463097586),
        ("mean", 0.59693178602, 0.717645536332),
        ("positions", 0.0361985157071, 1.66974673602),
    ],
)
def test_convolutional_layers_under_each_reduction(how, cka, distance):
    rng = np.random.default_rng(SEED)
    latents = rng.standard_normal((64, 5))
    x = np.tanh(np.einsum("nk,kchw->nchw", latents, rng.standard_normal((5, 6, 5, 5))))
    y = np.tanh(np.einsum("nk,kchw->nchw", latents, rng.standard_normal((5, 8, 5, 5))))
    x, y = x + 0.2 * rng.standard_normal(x.shape), y + 0.2 * rng.standard_normal(y.shape)

    def layer(name, one):
        raw = nncli.similarity.Raw(name, one.shape, one.dtype, lambda a, b: one[a:b])
        return nncli.similarity.reduce(raw, how)

    found = nncli.similarity.compare([layer("x", x)], [layer("y", y)], ["linear-cka", "procrustes"])
    assert [one.score.value for one in found] == pytest.approx([cka, distance], abs=1e-10)


@pytest.mark.parametrize("inputs", REFERENCE)
def test_gulp_without_a_penalty_counts_squared_canonical_correlations(inputs, case):
    # ranks and mean squared correlations are the reference values of other measures
    x, y = case(inputs)
    ranks = DIMENSIONS.get(inputs, ((), (40, 40) if inputs == "rot" else (32, 32)))[1]
    ranks = (32, 48) if inputs == "offset" else ranks
    shared = min(ranks) * FURTHER["cca-r2"][list(REFERENCE).index(inputs)]
    near = 1e-2 if inputs == "offset" else 1e-7
    assert gulp(x, y, penalty=0.0) == pytest.approx(sum(ranks) - 2 * shared, abs=near)
