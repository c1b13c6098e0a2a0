"""A training in words, for whoever reads a terminal or a log."""

from tinyscale.spec import Record


def line(record: Record, steps: int) -> str:
    """A record in one line."""
    metrics = record.metrics
    words = [f"step {record.step}/{steps}", f"tokens {record.tokens:,}", f"loss {metrics['train/loss']:.4f}"]
    words += [f"lr {metrics['train/learning_rate']:.2e}", f"{metrics['speed/tokens_per_s']:,.0f} tokens/s"]
    if "speed/mfu" in metrics:
        words.append(f"mfu {metrics['speed/mfu']:.1%}")
    if "eval/bpb" in metrics:
        words.append(f"eval {metrics['eval/loss']:.4f} nats/token, {metrics['eval/bpb']:.4f} bits/byte")
    return "  ".join(words)
