"""Random checkpoints of a few kilobytes in Hugging Face's formats, made without a download."""

import json
from pathlib import Path


def make_gpt2(folder: Path) -> None:
    """A GPT-2 of one layer with a tokenizer of single bytes."""
    from transformers import GPT2Config, GPT2Model

    folder.mkdir(parents=True)
    # GPT-2 writes bytes as printable characters: these stand for themselves, the rest follow
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in printable]
    letters += [chr(256 + number) for number in range(256 - len(printable))]
    vocabulary = {letter: index for index, letter in enumerate([*letters, "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    sizes = dict(vocab_size=257, n_embd=8, n_layer=1, n_head=1, n_positions=1024)
    GPT2Model(GPT2Config(**sizes, bos_token_id=256, eos_token_id=256)).save_pretrained(folder)


def make_t5(folder: Path) -> None:
    """A T5 of one layer with a tokenizer of single letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import T5Config, T5ForConditionalGeneration

    folder.mkdir(parents=True)
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -2.0), ("\u2581", -2.0)]
    pieces = specials + [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz?.!'"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "T5TokenizerFast",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "extra_ids": 0,
        "model_max_length": 64,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    sizes = dict(vocab_size=40, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1)
    model = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0))
    model.save_pretrained(folder)
