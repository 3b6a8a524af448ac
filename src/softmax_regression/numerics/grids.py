"""How fine the grids can be on which all sums of softmax regression are exact in float64.

An integer of at most 53 bits is a float64, and so is n 2^-g for an integer n of at most 53 bits. A sum of T terms has
log2 T bits more than its terms, so with features q of P bits, |q| <= 2^P:

    logits     sum over D features of w q, |w| 2^P < 2^5, w on the grid 2^-g     g + 5 + log2 D <= 53
    gradient   sum over B examples of e q, |e| <= 1, e on the grid 2^-h          h + P + log2 B <= 53
    total      sum over K classes of exponentials <= 1 on the grid 2^-c          c + log2 K < 53

The multiples that make w and e are held below 2^30, so that four signed bytes hold them (see mathematics/products.py).
"""

from dataclasses import dataclass

PIXEL_BITS = 8  # P of uint8
LEAST_EXPONENT = -64.0  # e^-64 is 0 on every grid of exponentials
_SUM_BITS = 53
_MULTIPLE_BITS = 30
_LOGIT_BITS = 5
_FEWEST_BITS = 20  # after the point, of a logit or an error: 1e-6


@dataclass(frozen=True)
class Grids:
    """The grids of a training: bits after the point, and the bound that every scaled weight w keeps."""

    weight_bits: int
    error_bits: int
    class_bits: int
    largest_weight: float


def choose_grids(feature_bits: int, num_features: int, num_classes: int, batch_size: int) -> Grids:
    """Return the finest grids on which all sums are exact.

    Raises ValueError where fewer than 20 bits are left, naming the param to change.
    """
    grids = Grids(
        weight_bits=weight_bits(feature_bits, num_features),
        error_bits=min(_MULTIPLE_BITS, _SUM_BITS - feature_bits - _bits(batch_size)),
        class_bits=class_bits(num_classes),
        largest_weight=largest_weight(feature_bits),
    )
    if grids.weight_bits - feature_bits < _FEWEST_BITS:
        most = 2 ** (_SUM_BITS - _LOGIT_BITS - feature_bits - _FEWEST_BITS)
        raise ValueError(
            f"model.implementation: exact sums at most {most} features of {feature_bits} bits, found {num_features}; "
            "set a smaller data.resize, or model.implementation: scratch"
        )
    if grids.error_bits < _FEWEST_BITS:
        most = 2 ** (_SUM_BITS - feature_bits - _FEWEST_BITS)
        raise ValueError(
            f"train.batch_size: exact sums at most {most} examples of {feature_bits} bits, found {batch_size}; "
            "lower it, or set model.implementation: scratch"
        )
    return grids


def packed_bits(num_features: int) -> int:
    """Return P of int16 features: 15, fewer where there are more than 8,192, so that logits keep their 20 bits."""
    return min(15, _SUM_BITS - _LOGIT_BITS - _FEWEST_BITS - _bits(num_features))


def weight_bits(feature_bits: int, num_features: int) -> int:
    """Return g of the scaled weights of so many features."""
    return min(_SUM_BITS - _LOGIT_BITS - _bits(num_features), _MULTIPLE_BITS - _LOGIT_BITS + feature_bits)


def largest_weight(feature_bits: int) -> float:
    """Return the bound that every |w| keeps: then no feature adds 2^5 to a logit."""
    return 2.0 ** (_LOGIT_BITS - feature_bits)


def class_bits(num_classes: int) -> int:
    """Return c of the exponentials of so many classes."""
    return _SUM_BITS - 1 - _bits(num_classes)


def _bits(terms: int) -> int:
    """Return by how many bits a sum of so many terms may be longer than a term: log2, rounded up."""
    return (terms - 1).bit_length()
