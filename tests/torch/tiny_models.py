"""Small models with random weights, saved to a folder as their libraries save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

TEXTS = ["the cat sat on the mat", "a dog", "unknown words are cut to pieces, and more of them"]
PAIRS = [("the cat", "a dog"), ("a mat", "the cat sat on the mat")]
WORDS = [["the", "unknown", "cat"], ["dogs"], ["a", "mat", "sat", "on", "cats"]]
_SIZES: dict[str, Any] = {"num_attention_heads": 2, "num_hidden_layers": 3, "hidden_size": 16}


def word_pieces(folder: Path) -> int:
    """Save a tokeniser like BERT's; give the size of its vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    fast.save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


def byte_pairs(folder: Path) -> int:
    """Save a tokeniser like GPT-2's, without a padding token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"]
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.model.save(str(folder))
    fast = hf.GPT2TokenizerFast.from_pretrained(folder)
    fast.save_pretrained(folder)
    return len(fast)


def bert(folder: Path, **changes: Any) -> Path:
    return _save(folder, word_pieces, hf.BertConfig, hf.BertModel, intermediate_size=16, **changes)


def bert_classifier(folder: Path) -> Path:
    kind = hf.BertForSequenceClassification
    return _save(folder, word_pieces, hf.BertConfig, kind, intermediate_size=16, num_labels=5)


def albert(folder: Path) -> Path:
    sizes = {"intermediate_size": 16, "embedding_size": 8}
    return _save(folder, word_pieces, hf.AlbertConfig, hf.AlbertModel, **sizes)


def roberta(folder: Path) -> Path:
    sizes = {"intermediate_size": 16, "max_position_embeddings": 34}
    return _save(folder, byte_pairs, hf.RobertaConfig, hf.RobertaModel, pad_token_id=0, **sizes)


def gpt2(folder: Path) -> Path:
    return _save(folder, byte_pairs, hf.GPT2Config, hf.GPT2LMHeadModel, n_positions=32)


def t5(folder: Path) -> Path:
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 3, "num_heads": 2}
    return _save(folder, word_pieces, hf.T5Config, hf.T5ForConditionalGeneration, **sizes)


def vit(folder: Path) -> Path:
    _seed()
    config = hf.ViTConfig(**_SIZES, intermediate_size=16, image_size=32, patch_size=8)
    hf.ViTForImageClassification(config).save_pretrained(folder)
    hf.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    _seed()
    n_tokens = word_pieces(folder)
    sizes: dict[str, Any] = {**_SIZES, "intermediate_size": 16}
    text = {**sizes, "vocab_size": n_tokens, "max_position_embeddings": 32}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    config = hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    hf.CLIPModel(config).save_pretrained(folder)
    hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return folder


def wav2vec2(folder: Path, is_masked: bool = True, **changes: Any) -> Path:
    """Save a Wav2Vec2; one that is not masked normalises its first layer over time."""
    return _speech(folder, hf.Wav2Vec2Config, hf.Wav2Vec2Model, is_masked, **changes)


def speech(folder: Path, kind: str, **changes: Any) -> Path:
    """Save a model with the settings of Wav2Vec2, and an extractor that gives it a mask."""
    config, model = getattr(hf, f"{kind}Config"), getattr(hf, f"{kind}Model")
    return _speech(folder, config, model, True, intermediate_size=64, **changes)


def moonshine(folder: Path) -> Path:
    _seed()
    sizes: dict[str, Any] = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 16}
    sizes |= {"encoder_num_hidden_layers": 2, "decoder_num_hidden_layers": 1}
    sizes |= {"encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2}
    hf.MoonshineModel(hf.MoonshineConfig(**sizes)).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


def hubert(folder: Path) -> Path:
    return _speech(folder, hf.HubertConfig, hf.HubertModel, False)


def wavlm(folder: Path) -> Path:
    return _speech(folder, hf.WavLMConfig, hf.WavLMModel, True)


def wav2vec2_classifier(folder: Path) -> Path:
    kind = hf.Wav2Vec2ForSequenceClassification
    return _speech(folder, hf.Wav2Vec2Config, kind, True, num_labels=5)


def spectrogram_transformer(folder: Path) -> Path:
    _seed()
    sizes = {**_SIZES, "intermediate_size": 16, "max_length": 64, "num_mel_bins": 16}
    hf.ASTForAudioClassification(hf.ASTConfig(**sizes)).save_pretrained(folder)
    hf.ASTFeatureExtractor(num_mel_bins=16, max_length=64).save_pretrained(folder)
    return folder


def whisper(folder: Path) -> Path:
    _seed()
    sizes: dict[str, Any] = {"d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2}
    sizes |= {"encoder_ffn_dim": 16, "decoder_layers": 1, "decoder_attention_heads": 2}
    sizes |= {"decoder_ffn_dim": 16, "num_mel_bins": 16, "max_source_positions": 50}
    sizes |= {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    sizes |= {"decoder_start_token_id": 1}
    hf.WhisperModel(hf.WhisperConfig(**sizes)).save_pretrained(folder)
    hf.WhisperFeatureExtractor(feature_size=16, chunk_length=1).save_pretrained(folder)
    return folder


def clap(folder: Path, truncation: str = "rand_trunc") -> Path:
    _seed()
    text = {**_SIZES, "intermediate_size": 16, "vocab_size": 40, "pad_token_id": 0}
    audio: dict[str, Any] = {"patch_embeds_hidden_size": 8, "hidden_size": 32, "depths": [1, 1, 2]}
    audio |= {"num_attention_heads": [2, 2, 2], "num_mel_bins": 64, "spec_size": 256}
    audio |= {"patch_size": 4, "patch_stride": [4, 4], "window_size": 8, "num_hidden_layers": 3}
    audio |= {"enable_fusion": truncation == "fusion"}
    config = hf.ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    hf.ClapModel(config).save_pretrained(folder)
    hf.ClapFeatureExtractor(truncation=truncation).save_pretrained(folder)
    return folder


def _speech(folder: Path, config: Any, model: Any, is_masked: bool, **changes: Any) -> Path:
    _seed()
    sizes: dict[str, Any] = {**_SIZES, "intermediate_size": 16, "vocab_size": 20}
    sizes |= {"conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (5, 4)}
    sizes |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    norm = "layer" if is_masked else "group"
    sizes |= {"feat_extract_norm": norm, "do_stable_layer_norm": is_masked, **changes}
    model(config(**sizes)).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(return_attention_mask=is_masked).save_pretrained(folder)
    return folder


def _save(folder: Path, tokens: Any, config: Any, model: Any, **sizes: Any) -> Path:
    _seed()
    folder.mkdir(parents=True, exist_ok=True)
    n_tokens = tokens(folder)
    known = {**_SIZES, "vocab_size": n_tokens, **sizes}
    model(config(**known)).save_pretrained(folder)
    return folder


def _seed() -> None:
    torch.manual_seed(0)


class Steps(nn.Module):
    """A convolution over series (N, T, C) of two channels and at most `context` steps."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context
        self.features = nn.Conv1d(2, 6, 3, padding=1)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        assert x.shape[1] <= self.context
        return self.head(self.features(x.transpose(1, 2)).mean(2))
