"""timm's models: found by name, and described without a hub."""

import pytest
import timm

from dr_pipeline.errors import ParamsError
from dr_pipeline.models.grader import create_grader, num_parameters
from dr_pipeline.models.inspect.model_card import latency_class, model_card
from dr_pipeline.models.timm_catalogue import NOT_STATED, list_models, pretrained_info


def test_a_part_of_a_name_or_a_pattern_finds_models() -> None:
    assert set(list_models("lite0", pretrained=False)) == {"efficientnet_lite0", "tf_efficientnet_lite0"}
    assert list_models("tf_*lite0", pretrained=False) == ("tf_efficientnet_lite0",)
    assert len(list_models("", pretrained=False)) == len(timm.list_models())


def test_published_weights_are_listed_with_their_tags() -> None:
    assert "tf_efficientnet_lite0.in1k" in list_models("lite0", pretrained=True)
    assert all("." in name for name in list_models("resnet50", pretrained=True))


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_pattern_without_a_match_says_the_closest(pretrained: bool) -> None:
    with pytest.raises(ParamsError, match=r"closest: .*efficientnet_lite"):
        list_models("efficentnet_lite0", pretrained=pretrained)


def test_the_weights_say_what_they_expect() -> None:
    expects = pretrained_info("efficientnet_b3")
    config = timm.models.get_pretrained_cfg("efficientnet_b3")
    assert expects.weights == f"efficientnet_b3.{config.tag}"
    assert expects.mean == (0.485, 0.456, 0.406)
    assert (expects.interpolation, expects.crop_pct) == ("bicubic", config.crop_pct)
    assert (expects.classifier, expects.licence) == (("classifier",), "apache-2.0")


def test_a_tag_picks_its_own_weights_and_several_classifiers_are_kept() -> None:
    assert pretrained_info("tf_efficientnet_b3.aa_in1k").weights == "tf_efficientnet_b3.aa_in1k"
    assert pretrained_info("deit_base_distilled_patch16_224").classifier == ("head", "head_dist")


def test_what_timm_does_not_say_is_said() -> None:
    silent = next(name for name in timm.list_pretrained() if timm.models.get_pretrained_cfg(name).license is None)
    assert pretrained_info(silent).licence == NOT_STATED
    assert pretrained_info("davit_giant").weights == ""


def test_unknown_names_and_tags_say_the_closest() -> None:
    with pytest.raises(ParamsError, match=r"closest: .*efficientnet_lite0"):
        model_card("efficientnet_lite_0")
    with pytest.raises(ParamsError, match=r"choose from: .*efficientnet_b3\.ra2_in1k"):
        model_card("efficientnet_b3.no_such_tag")


def test_an_encoder_without_a_classifier_has_no_card() -> None:
    assert pretrained_info("qwen3_vit_88m_enc").classifier == ()
    with pytest.raises(ParamsError, match="has no classifier"):
        model_card("qwen3_vit_88m_enc")


def test_the_cost_is_of_the_grader_that_is_trained() -> None:
    card = model_card("tf_efficientnet_lite0", input_px=192)
    grader = create_grader("tf_efficientnet_lite0", input_px=192, drop_rate=0.0, drop_path_rate=0.0)
    assert card.cost.parameters == num_parameters(grader)
    # its authors (tensorflow/tpu, efficientnet/lite) give 407 M at 224 px, normalisation counted too
    published = model_card("tf_efficientnet_lite0").cost.total_macs
    assert published == pytest.approx(407e6, rel=0.06)
    assert card.cost.total_macs == pytest.approx(published * (192 / 224) ** 2, rel=0.001)


def test_a_transformer_is_counted_at_another_input() -> None:
    small, large = model_card("vit_tiny_patch16_224", input_px=64), model_card("vit_tiny_patch16_224", input_px=128)
    assert 3.5 < large.cost.layer_macs / small.cost.layer_macs < 4.0  # 65 tokens against 17


def test_an_impossible_input_says_what_to_try() -> None:
    with pytest.raises(ParamsError, match="224 px that its weights expect"):
        model_card("vit_tiny_patch16_224", input_px=8)


@pytest.mark.parametrize(
    ("macs", "name"), [(0, "light"), (10**9, "medium"), (19 * 10**9, "heavy"), (10**12, "very heavy")]
)
def test_latency_class(macs: int, name: str) -> None:
    assert latency_class(macs) == name
