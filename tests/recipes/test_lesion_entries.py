"""The entries that `recipe --lesions` writes: the shipped training, with the entry's own values first."""

from dr_pipeline.recipes.lesion_entries import lesion_section, lesion_values


def test_an_entry_s_own_values_of_training_come_before_the_shipped_ones() -> None:
    idrid, phantom = lesion_values("idrid_segmentation")["idrid"], lesion_values("synthetic")["phantom"]
    differing = {key for key in phantom["training"] if idrid["training"][key] != phantom["training"][key]}
    assert differing == {"tiles_per_photograph"}
    assert (idrid["data"]["healthy"], phantom["data"]["healthy"]) == (40, 0)
    assert list(lesion_section("idrid_segmentation")["idrid"]["training"]) == list(phantom["training"])
