"""What the channels of a network mean: classes, or structures that may overlap."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int16, Integer
from torch import Tensor

from segpipe.images.instances import LEVELS
from segpipe.images.values import Legend
from segpipe.segmenter.rules.instances import Target

THRESHOLD = 0.5  # of the probability of a structure that may overlap others


@dataclass(frozen=True)
class Outputs:
    """What the channels of a network mean.

    They are classes of which one is true at each voxel (softmax), or structures that
    may overlap, of which each is true or not (sigmoid).

    Attributes:
        legend: The classes and structures.
        target: What is learned: ``labels``; with ``contact``, a last class is the line
            where two instances touch, which is written as the structure that it lies
            in; with ``distance``, each structure is as many classes as there are
            levels.

    Source:
        nnU-Net v2, LabelManager: ``inference_nonlin`` and
        ``convert_probabilities_to_segmentation``.
    """

    legend: Legend
    target: Target = "labels"

    @property
    def overlap(self) -> bool:
        """Whether channels are structures that may overlap."""
        return self.legend.unions is not None

    @property
    def channels(self) -> int:
        """Number of channels of the network."""
        return len(self.legend.structures) - 1 if self.overlap else self.learned

    @property
    def classes(self) -> int:
        """Number of classes that are written, background included."""
        return len(self.legend.values)

    @property
    def learned(self) -> int:
        """Number of classes of a training, which may have contact or levels."""
        if self.target == "distance":
            return 1 + LEVELS * (self.classes - 1)
        return self.classes + (self.target == "contact")

    @property
    def line(self) -> int | None:
        """The class of the voxels between touching instances; None: their own.

        It is the background, or contact.
        """
        if self.target == "distance":
            return None
        return self.classes if self.target == "contact" else 0

    @property
    def truth(self) -> Bool[np.ndarray, "channel class"]:
        """Whether a channel (row) is true at voxels of a class (column)."""
        if self.overlap:
            return self.legend.table[1:]
        return np.eye(self.learned, dtype=bool)

    def of_structures(
        self, shares: Float[np.ndarray, "n ..."]
    ) -> Float[np.ndarray, "structure ..."]:
        """The probability of each structure, without background and contact."""
        if self.overlap:
            return shares
        if self.target == "distance":
            levels = shares[1:].reshape(-1, LEVELS, *shares.shape[1:])
            total: np.ndarray = levels.sum(1)
            return total
        return shares[1 : self.classes]

    def encode(
        self, classes: Integer[np.ndarray, "i j k"]
    ) -> Float32[np.ndarray, "channel i j k"]:
        """The probabilities that stand for a map of learned classes.

        All of them are 0 where no class is known (a negative number).
        """
        table = np.append(self.truth, np.zeros((self.channels, 1), bool), axis=1)
        return table[:, np.maximum(classes, -1)].astype(np.float32)

    def activate(self, logits: Float[Tensor, "B n ..."]) -> Float[Tensor, "B n ..."]:
        """The probability of each channel."""
        return logits.sigmoid() if self.overlap else logits.softmax(dim=1)

    def decode(self, shares: Float[Tensor, "B n ..."]) -> Int16[Tensor, "B ..."]:
        """The class that is written at each voxel, by the probabilities.

        The likeliest class; or, of the structures above 1/2, the last in the order of
        writing, as its own value. Contact counts for the likeliest structure, a level
        for its own.
        """
        if self.target == "contact":
            likeliest = shares[:, 1 : self.classes].max(1)
            there = likeliest.values + shares[:, self.classes] > shares[:, 0]
            return torch.where(there, likeliest.indices + 1, 0).short()
        if self.target == "distance":
            shares = torch.cat([shares[:, :1], _by_level(shares).sum(2)], dim=1)
        if self.legend.unions is None:
            # The same as argmax, several times faster on CPUs.
            return shares.max(1).indices.short()
        shape = (shares.shape[0], *shares.shape[2:])
        result = torch.zeros(shape, dtype=torch.int16, device=shares.device)
        for channel, value in enumerate(self.legend.unions.order):
            number = self.legend.values.index(value)
            result[shares[:, channel] > THRESHOLD] = number
        return result

    def inside(
        self, shares: Float[Tensor, "B n ..."], classes: Int16[Tensor, "B ..."]
    ) -> Float[Tensor, "B ..."]:
        """Probability of the structure that is written at each voxel; 0 elsewhere.

        What a voxel shares with contact is not part of it. Of levels it is the expected
        depth: each probability times its level, as a share of the last. Where
        structures overlap, which have no instances, it is 0 everywhere.
        """
        if self.overlap:
            return torch.zeros_like(shares[:, 0])
        if self.target == "distance":
            levels = torch.arange(1, LEVELS + 1).to(shares) / LEVELS
            depth = torch.tensordot(_by_level(shares), levels, dims=([2], [0]))
            shares = torch.cat([torch.zeros_like(shares[:, :1]), depth], dim=1)
        own = shares.gather(1, classes.long()[:, None])[:, 0]
        return torch.where(classes > 0, own, 0.0)

    def entropy(self, shares: Float[Tensor, "B n ..."]) -> Float[Tensor, "B 1 ..."]:
        """Entropy of the probabilities, from 0 (certain) to 1 (all equally likely).

        Levels of a structure count together. Where structures overlap, it is the mean
        of their own entropies.
        """
        if self.target == "distance":
            known = _by_level(shares).sum(2)
            shares = torch.cat([shares[:, :1], known], dim=1)
        tiny = torch.finfo(shares.dtype).tiny
        found = shares.clamp(min=tiny).log_().mul_(shares)
        if not self.overlap:
            return -found.sum(1, keepdim=True) / math.log(shares.shape[1])
        rest = 1 - shares
        found += rest.clamp(min=tiny).log_().mul_(rest)
        return -found.mean(1, keepdim=True) / math.log(2)


def _by_level(
    shares: Float[Tensor, "B n ..."],
) -> Float[Tensor, "B structure level ..."]:
    """The probabilities of the levels of each structure, without background."""
    return shares[:, 1:].reshape(len(shares), -1, LEVELS, *shares.shape[2:])
