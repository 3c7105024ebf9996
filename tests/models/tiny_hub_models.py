"""Tiny random models of transformers, saved as anybody would save theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*_SPECIAL, "river", "bank", "loan", "card", "water", "late", "refund", "train", "boat", "night", "paper"]
TOKENS = 32


def tiny_bert(folder: Path, *, seed: int = 0, words: list[str] = WORDS, **changed: Any) -> Path:
    """A BERT of one layer and 16 dimensions with a tokenizer of whole words, in ``folder``."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=TOKENS,
    ).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16} | changed
    torch.manual_seed(seed)
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=TOKENS, **shape)).save_pretrained(folder)
    return folder


def tiny_vit(folder: Path, *, seed: int = 0, pooling: bool = True) -> Path:
    """A ViT of one layer and 16 dimensions that reads 16 × 16 pixels, in ``folder``."""
    import torch
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(seed)
    ViTModel(ViTConfig(image_size=16, patch_size=8, **shape), add_pooling_layer=pooling).save_pretrained(folder)
    return folder


def tiny_resnet(folder: Path) -> Path:
    """A ResNet of two small stages, in ``folder``."""
    import torch
    from transformers import ResNetConfig, ResNetModel
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

    ConvNextImageProcessorPil(size={"shortest_edge": 16}, crop_pct=1.0).save_pretrained(folder)
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    return folder
