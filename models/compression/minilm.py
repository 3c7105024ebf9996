"""MiniLM as it is compressed: its weights and tokenizer from the package that carries them, and its plain INT8 form."""

from __future__ import annotations

from collections.abc import Sequence

from models.compression.compact import Compact, build_compact, text_pieces
from models.compression.network import FloatArray
from models.compression.structure import keep_pieces
from models.compression.vocabulary import COMMON, pieces_to_keep, trim_tokenizer
from models.encoder_minilm import CALIBRATION_TEXTS, verified_folder

_CALIBRATION = 100
_UNUSED = ("pooler.", "embeddings.position_ids")


def load_minilm() -> tuple[dict[str, FloatArray], str]:
    """The published weights by name, and the tokenizer.json.

    Raises:
        MissingExtra: The package with the weights is not installed.
        CorruptModel: Its weights are not the pinned ones.
    """
    from safetensors.numpy import load_file

    folder = verified_folder()
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(_UNUSED)}
    return kept, (folder / "tokenizer.json").read_text(encoding="utf-8")


def compact_minilm(texts: Sequence[str], common: int = COMMON) -> Compact:
    """MiniLM in INT8 with the vocabulary of some texts: for these it gives what the whole one in INT8 gives.

    Args:
        texts: Of the pool.
        common: So many of the commonest pieces stay too.

    Raises:
        MissingExtra, CorruptModel: As `load_minilm`.
    """
    weights, tokenizer = load_minilm()
    used = text_pieces(tokenizer, texts, most=1 << 30)
    pieces = pieces_to_keep(tokenizer, used, common)
    trimmed = trim_tokenizer(tokenizer, pieces)
    calibration = text_pieces(trimmed, [*CALIBRATION_TEXTS, *texts[:_CALIBRATION]])
    return build_compact(keep_pieces(weights, pieces), trimmed, "int8", calibration=calibration)
