import pytest
import torch

from tinyscale.model.sample import generate, generate_batch
from tinyscale.model.transformer import Transformer

PROMPT = torch.tensor([3, 1, 4, 1, 5])
PRESETS = [("gpt2", {}), ("gptneo", {"sliding_window": 4}), ("llama", {"num_kv_heads": 2, "norm_position": "post"})]


@pytest.fixture
def model(make_config):
    return Transformer(make_config("llama", num_kv_heads=2))


@pytest.mark.parametrize(("preset", "changes"), PRESETS)
def test_cached_greedy_equals_the_uncached_argmax(make_config, preset, changes):
    """Past the context too: where it is full, the last half starts a new one."""
    model = Transformer(make_config(preset, **changes)).eval()
    text, seen = PROMPT.tolist(), PROMPT.tolist()
    for _ in range(60):
        if len(seen) > 24:
            seen = text[-12:]
        token = int(model(torch.tensor([seen]))[0, -1].argmax())
        text.append(token)
        seen.append(token)
    assert list(generate(model, PROMPT, 60, temperature=0)) == text[5:]


@pytest.mark.parametrize(("preset", "changes"), PRESETS)
def test_logits_of_the_cache_equal_those_of_the_whole_text(make_config, preset, changes):
    model = Transformer(make_config(preset, **changes)).eval()
    tokens = torch.randint(61, (1, 24), generator=torch.Generator().manual_seed(0))
    cache = model.make_cache()
    with torch.no_grad():
        parts = [model(tokens[:, :9], cache), *(model(tokens[:, i : i + 1], cache) for i in range(9, 24))]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens), rtol=1e-5, atol=1e-5)


def test_the_seed_decides_the_text(model):
    first = list(generate(model, PROMPT, 30, seed=1))
    torch.manual_seed(99)
    assert list(generate(model, PROMPT, 30, seed=1)) == first
    assert list(generate(model, PROMPT, 30, seed=2)) != first


def test_draws_follow_the_probabilities(model):
    """Of 2000 first tokens, each kind comes as often as the model says, within 5 standard errors."""
    probabilities = (model.eval()(PROMPT[None])[0, -1] / 0.7).softmax(0).detach()
    draws = generate_batch(model, PROMPT.repeat(2000, 1), 1, temperature=0.7, seeds=range(2000))
    shares = torch.bincount(torch.tensor(draws)[:, 0], minlength=61) / 2000
    error = (probabilities * (1 - probabilities) / 2000).sqrt()
    assert torch.all((shares - probabilities).abs() < 5 * error + 1e-3)


def test_top_k_and_top_p_keep_the_likeliest(model):
    probabilities, ids = model.eval()(PROMPT[None])[0, -1].softmax(0).sort(descending=True)
    needed = int((probabilities.cumsum(0) < 0.5).sum()) + 1

    def drawn(**options):
        return {token for [token] in generate_batch(model, PROMPT.repeat(300, 1), 1, seeds=range(300), **options)}

    assert drawn(top_k=1) == {int(ids[0])}
    assert drawn(top_k=3) == set(ids[:3].tolist())
    assert drawn(top_p=0.5) == set(ids[:needed].tolist())
    assert drawn(top_p=1e-9) == {int(ids[0])}


def test_end_of_text_is_the_last_token_yielded(model):
    tokens = list(generate(model, PROMPT, 40, seed=5))
    eos = tokens[10]
    assert list(generate(model, PROMPT, 40, seed=5, eos=eos)) == tokens[: tokens.index(eos) + 1]


def test_a_prompt_beyond_the_context_is_read_from_its_end(model):
    long = torch.arange(40)
    assert list(generate(model, long, 9, temperature=0)) == list(generate(model, long[-24:], 9, temperature=0))


def test_dropout_is_off_and_tokens_stream(make_config):
    model = Transformer(make_config(dropout=0.5)).train()
    stream = generate(model, PROMPT, 10**9, temperature=0)
    assert [next(stream) for _ in range(5)] == list(generate(model, PROMPT, 5, temperature=0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": torch.tensor([], dtype=torch.int64)}, "the prompt has shape"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_k": -1}, "top_k is -1"),
    ],
)
def test_bad_options_are_refused_at_the_call(model, options, words):
    with pytest.raises(ValueError, match=words):
        generate(model, **{"prompt": PROMPT, "max_tokens": 1, **options})


@pytest.mark.parametrize(("preset", "changes"), [*PRESETS, ("gptneo", {"sliding_window": 4, "num_kv_heads": 1})])
@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_p": 0.8}, {"top_k": 5, "temperature": 0.7}])
def test_a_batch_equals_its_texts_one_by_one(make_config, preset, changes, options):
    """Beyond the context of 24 too, with texts that end on the way."""
    model = Transformer(make_config(preset, **changes))
    prompts = torch.randint(61, (5, 5), generator=torch.Generator().manual_seed(0))
    prompts[1] = prompts[0]
    seeds = [3, 4, 5, 6, 7]
    alone = [
        list(generate(model, prompt, 40, seed=seed, **options)) for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    eos = next(token for token in range(61) if 0 < sum(token in text for text in alone) < 5)
    cut = [text[: text.index(eos) + 1] if eos in text else text for text in alone]
    assert generate_batch(model, prompts, 40, seeds=seeds, eos=eos, **options) == cut
    assert (alone[0] == alone[1]) == (options.get("temperature") == 0)


def test_a_text_has_the_same_bits_in_any_batch(make_config):
    """A vocabulary so large and flat that another rounding would show: it does where batches are not filled up."""
    model = Transformer(make_config("llama", vocab_size=4096, hidden_size=64, context_length=64))
    together = generate_batch(model, PROMPT.repeat(20, 1), 80, seeds=range(20))
    for size in (2, 17):
        spans = [range(i, min(i + size, 20)) for i in range(0, 20, size)]
        parts = [generate_batch(model, PROMPT.repeat(len(span), 1), 80, seeds=span) for span in spans]
        assert [text for part in parts for text in part] == together


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (3,)])
def test_a_batch_needs_prompts_and_a_seed_each(model, shape):
    with pytest.raises(ValueError, match="the prompts have shape"):
        generate_batch(model, torch.zeros(shape, dtype=torch.int64), 3, seeds=range(shape[0]))
    with pytest.raises(ValueError, match="with 1 seeds"):
        generate_batch(model, PROMPT.repeat(2, 1), 3, seeds=[1])
