"""How fast a card could do some work at best (Williams et al. 2009, the roofline model)."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Card:
    """The two ceilings of a card."""

    name: str
    bandwidth: float
    """Of its memory, in bytes a second."""
    bf16_flops: float
    """Dense bf16 matrix products with fp32 accumulation, FLOP/s."""
    fp32_flops: float
    """fp32 without TF32: no matrix unit takes part."""
    source: str


RTX_5090 = Card(
    name="RTX 5090",
    bandwidth=1.792e12,
    bf16_flops=209.5e12,
    fp32_flops=104.8e12,
    source="NVIDIA RTX Blackwell white paper: 1,792 GB/s, 209.5 TFLOP/s dense bf16 with fp32 accumulation, 104.8 fp32",
)
RTX_PRO_6000 = Card(
    name="RTX PRO 6000",
    bandwidth=1.792e12,
    bf16_flops=503.8e12,
    fp32_flops=126.0e12,
    source="NVIDIA RTX Blackwell PRO white paper: 1,792 GB/s, 503.8 TFLOP/s dense bf16 (fp32 accumulation), 126 fp32",
)
CARDS = (RTX_5090, RTX_PRO_6000)


@dataclass(frozen=True)
class Work:
    """What must be done, whoever does it."""

    flops: float
    """Of matrix products; all other arithmetic hides behind the bytes."""
    bytes_moved: float
    """Through the card's memory: each input read once, each output written once."""

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes_moved + other.bytes_moved)

    def __mul__(self, times: float) -> "Work":
        return Work(self.flops * times, self.bytes_moved * times)

    def seconds(self, card: Card, *, fp32: bool = False) -> float:
        """The longer of the time for the products, in bf16 or fp32, and the time for the bytes."""
        flops = card.fp32_flops if fp32 else card.bf16_flops
        return max(self.flops / flops, self.bytes_moved / card.bandwidth)


def attention_pairs(length: int, window: int = 0) -> int:
    """Query-key pairs of one causal sequence; each query sees ``window`` tokens, itself included, or (0) all."""
    if not 0 < window < length:
        return length * (length + 1) // 2
    return window * (window + 1) // 2 + (length - window) * window
