"""Where a bundle that a training begins with, or learns from, was trained itself."""

from pathlib import Path

from dr_pipeline.bundle.bundle_files import METADATA
from dr_pipeline.errors import ParamsError
from dr_pipeline.files import read_json

_PREFIX = "bundle:"


def require_unseen(source: str, *, where: str, splits_sha256: str, canvas_index_sha256: str, fold: int) -> None:
    """Refuses a bundle that has learnt from photographs which are to judge what is trained now.

    A bundle names the split, the canvases and the folds that it was trained on. Of the same split, the same fold alone
    has kept this fold's validation photographs apart; of the same canvases under another split, no one knows which of
    them it has learnt from. Photographs that it shares with another set of canvases cannot be seen here.

    Args:
        source: First weights or a teacher; all but `bundle:PATH` and `bundle:PATH#id` are let pass.
        where: The key in params.yaml.
        splits_sha256: Of this training's split.
        canvas_index_sha256: Of its canvases.
        fold: Its validation part.

    Raises:
        ParamsError: Validation or test photographs would be graded by a network that learnt from them.
    """
    path = Path(source.removeprefix(_PREFIX).partition("#")[0]) / METADATA
    if not source.startswith(_PREFIX) or not path.is_file():  # who loads it says what is missing
        return
    metadata = read_json(path)
    try:
        trained_on = metadata["data_hashes"]
        splits, canvases = trained_on["splits_sha256"], trained_on["canvas_index_sha256"]
        folds = {member["fold"] for member in metadata["model"]["ensemble"]["members"]}
    except (KeyError, TypeError):  # of another version, or damaged: who loads it says so
        return
    if splits == splits_sha256 and folds != {fold}:
        others = ", ".join(str(other) for other in sorted(folds - {fold}))
        raise ParamsError(
            f"{source} was trained on fold {others} of this very split, with photographs that validate fold {fold}",
            where=where,
            todo=f"take a bundle of fold {fold} alone, or one of other photographs",
        )
    if splits != splits_sha256 and canvases == canvas_index_sha256:
        raise ParamsError(
            f"{source} was trained on these photographs under another split: it may have learnt from this split's "
            "validation and test photographs",
            where=where,
            todo="take a bundle of this split, or one of other photographs; or train with `weights` from elsewhere",
        )
