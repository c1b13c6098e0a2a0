import pytest
import torch

from tinyscale.model.sample import generate
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
    draws = [next(generate(model, PROMPT, 1, temperature=0.7, seed=seed)) for seed in range(2000)]
    shares = torch.bincount(torch.tensor(draws), minlength=61) / 2000
    error = (probabilities * (1 - probabilities) / 2000).sqrt()
    assert torch.all((shares - probabilities).abs() < 5 * error + 1e-3)


def test_top_k_and_top_p_keep_the_likeliest(model):
    probabilities, ids = model.eval()(PROMPT[None])[0, -1].softmax(0).sort(descending=True)
    needed = int((probabilities.cumsum(0) < 0.5).sum()) + 1

    def drawn(**options):
        return {next(generate(model, PROMPT, 1, seed=seed, **options)) for seed in range(300)}

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
