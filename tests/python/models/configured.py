"""Small networks of the transformers library with random weights."""

import torch
import transformers
from torch import nn

EAGER = {"attn_implementation": "eager"}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


class Field(nn.Module):
    """One field of the library's result, so that the network gives a plain tensor."""

    def __init__(self, model, field):
        super().__init__()
        self.model = model
        self.field = field

    def forward(self, x):
        return getattr(self.model(x), self.field)


def vit():
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=5,
        **NO_DROPOUT,
        **EAGER,
    )
    return Field(transformers.ViTForImageClassification(config), "logits")


def swin():
    config = transformers.SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        drop_path_rate=0.0,
        num_labels=5,
        **NO_DROPOUT,
        **EAGER,
    )
    return Field(transformers.SwinForImageClassification(config), "logits")


def convnext():
    config = transformers.ConvNextConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], layer_scale_init_value=0.1, num_labels=5
    )
    return Field(transformers.ConvNextForImageClassification(config), "logits")


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        config = transformers.BertConfig(
            vocab_size=60,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=32,
            num_labels=5,
            classifier_dropout=0.0,
            **NO_DROPOUT,
            **EAGER,
        )
        self.model = transformers.BertForSequenceClassification(config)

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def gpt2_model():
    config = transformers.GPT2Config(
        vocab_size=60,
        n_positions=32,
        n_embd=32,
        n_layer=2,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=True,
        **EAGER,
    )
    return transformers.GPT2LMHeadModel(config)


class Gpt2(nn.Module):
    """Its output layer is tied to the word embedding."""

    def __init__(self):
        super().__init__()
        self.model = gpt2_model()

    def forward(self, input_ids):
        mask = torch.ones_like(input_ids)
        return self.model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits


class Gpt2WithPast(nn.Module):
    """Takes the keys and values of the words before, [layers, 2, batch, heads, past, width], and gives all."""

    def __init__(self):
        super().__init__()
        self.model = gpt2_model()

    def forward(self, input_ids, past):
        cache = transformers.DynamicCache(ddp_cache_data=[(pair[0], pair[1]) for pair in past])
        result = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        layers = [torch.stack([layer.keys, layer.values]) for layer in result.past_key_values.layers]
        return result.logits, torch.stack(layers)


def whisper_encoder():
    config = transformers.WhisperConfig(
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=64,
        max_source_positions=24,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        **EAGER,
    )
    return Field(transformers.WhisperModel(config).encoder, "last_hidden_state")
