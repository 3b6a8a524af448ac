"""How much too high is the winner's validation accuracy, because it was picked as the best of n?

Shapes: n configurations, S seeds, N validation images a seed, R resamples. Accuracies are fractions.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from softmax_regression.numerics.randomness import normal, permutation, uniform

_RESAMPLES = 1000
_GROUPS = 4096  # images beyond so many share signs, so that time and memory do not grow with them


def optimism(answers: Sequence[Sequence[NDArray[np.bool_]]]) -> float:
    """Return by how much the best accuracy is expected to exceed the accuracy of the same winner on new images.

    `answers[c][s]` (N,) bool: what configuration c has right with seed s, of the images that this seed holds out, the
    same ones for all c. The winner has the highest mean accuracy A(c) over seeds, of equal ones it is the first.

    The best is part merit, part luck. To see how much luck moves, noise Z like that of the accuracies is added R times:

        Z(c) = 1/S sum over s of (g_s (A_s(c) - A(c)) + 1/(N sqrt(S)) sum over i of e_si (x_csi - A_s(c))),

    x the answers, e_si = +-1 a sign an image and g_s ~ N(0, 1) a factor a seed, the same for all c: what answers
    alike moves alike. The result is sqrt(2) times the mean of Z(c*) - Z(winner), c* the one with the highest A + Z.
    It is 0 for one configuration, never negative, and the same on every machine.

    That mean is the bootstrap's estimate (Efron and Tibshirani 1993, 10.2), by multipliers (Mammen 1993). Where all are
    equally good, c* is picked by the noise in A and by that in Z alike, and only the second is counted: too small by
    sqrt(2), hence the factor. Where merit decides it is too large, 1.4 times and more, of little. BBC-CV's bootstrap
    (Tsamardinos et al. 2018: the accuracy on images that were not drawn) is right and too large in the same cases, 1.5
    times; with one seed of the recipes below it was closer in none of four cases.

    Accuracies of several seeds differ by the seed and by its images. Weighed as above the images count once, the seed's
    own noise (S - 1)/S times. With one seed its luck is not in the estimate, which is about this one trained model.

    Measured on Fashion-MNIST: 12 recipes of ten epochs, 128 seeds of each, chosen by 5,000 of 10,000 images. In points,
    the true optimism, the mean estimate, and the standard deviation of the estimate between sweeps:

        one seed, the winner as it is trained            true   estimate     sd
        12 seeds of one recipe as configurations        0.215      0.233  0.049
        64 seeds of one recipe                          0.283      0.334  0.043
        64 seeds of a steadier one                      0.147      0.148  0.016
        3 like recipes                                  0.066      0.082  0.049
        all 12                                          0.013      0.057  0.053
        the winner's recipe, whatever the seed
        12 times one recipe, 1 seed                     0.387      0.215  0.052
        12 times one recipe, 3 seeds                    0.247      0.204  0.065
        12 times one recipe, 8 seeds                    0.155      0.150  0.035
        12 times one with much seed noise, 1 seed       0.670      0.218  0.076
        12 times one with much seed noise, 3 seeds      0.448      0.348  0.143
        12 times one with much seed noise, 8 seeds      0.306      0.325  0.091
        7 like recipes, 8 seeds                         0.002      0.033  0.033
        all 12, 3 seeds                                 0.000      0.116  0.173
        all 12, 8 seeds                                 0.000      0.012  0.032
    """
    seeds, images = len(answers[0]), len(answers[0][0])
    right = np.array([[np.count_nonzero(one) for one in own] for own in answers])
    accuracies, means = right / images, right.sum(axis=1) / (seeds * images)
    noise = np.zeros((_RESAMPLES, len(answers)))
    factors = normal("optimism: factors of the seeds", seeds * _RESAMPLES).reshape(seeds, _RESAMPLES, 1)
    for seed in range(seeds):
        group = permutation(f"optimism: groups of images, seed {seed}", images) % _GROUPS
        groups = min(images, _GROUPS)
        sizes = np.bincount(group)
        sums = np.stack([np.bincount(group[own[seed]], minlength=groups) for own in answers], axis=1)
        is_plus = uniform(f"optimism: signs of images, seed {seed}", _RESAMPLES * groups) < 0.5
        signs = np.where(is_plus, 1.0, -1.0).reshape(_RESAMPLES, groups)
        # Products of whole numbers: exact in any order of the sums.
        moved = (signs @ sums - (signs @ sizes)[:, None] * accuracies[:, seed]) / images
        noise += (factors[seed] * (accuracies[:, seed] - means) + moved / math.sqrt(seeds)) / seeds
    chosen = np.argmax(means + noise, axis=1)
    gained = noise[np.arange(_RESAMPLES), chosen] - noise[:, np.argmax(means)]
    return math.sqrt(2) * math.fsum(gained) / _RESAMPLES
