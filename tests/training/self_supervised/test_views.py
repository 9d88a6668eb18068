"""Two views of a canvas: their size, their crops, and that the seed alone determines them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.training import Training
from dr_pipeline.training.self_supervised.views import two_views
from tests.factories import REPOSITORY
from tests.factories.drawings import draw_fundus
from tests.factories.pretraining import PARAMS, UNCHANGED

CANVAS = draw_fundus(64, 64, 32, 32, 30)
AUGMENTATION = load_section(REPOSITORY / "params.yaml", "training", Training).augmentation


@given(st.integers(0, 2**32 - 1))
def test_views_have_the_input_s_size_and_depend_on_the_seed_alone(seed: int) -> None:
    make = two_views(PARAMS.model_copy(update={"augmentation": AUGMENTATION}))
    views = make(CANVAS, seed)
    assert views.shape == (2, PARAMS.input_px, PARAMS.input_px, 3)
    assert views.dtype == np.uint8
    assert np.array_equal(views, make(CANVAS, seed))
    assert not np.array_equal(views[0], views[1])


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_a_crop_has_at_least_its_area(seed: int, area: float) -> None:
    side = 64
    places = np.stack([*np.mgrid[:side, :side], np.zeros((side, side))], axis=-1).astype(np.uint8)
    make = two_views(PARAMS.model_copy(update={"augmentation": UNCHANGED, "crop_area": area, "input_px": side}))
    for view in make(places, seed):
        height, width = (int(view[..., axis].max()) - int(view[..., axis].min()) + 1 for axis in (0, 1))
        assert abs(height - width) <= 2  # the resize interpolates beyond the border
        assert height >= area**0.5 * side - 2


def test_nothing_is_changed_where_nothing_is_asked() -> None:
    params = PARAMS.model_copy(update={"augmentation": UNCHANGED, "crop_area": 1.0, "input_px": 64})
    assert np.array_equal(two_views(params)(CANVAS, 5), np.stack([CANVAS, CANVAS]))
