"""World: the processes that train one network together, as torchrun starts them."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from segpipe.project.errors import DataError

PATIENCE = timedelta(hours=4)  # while the first process validates, the others wait


@dataclass(frozen=True)
class World:
    """Which process this is, of how many; one alone is the rule.

    Attributes:
        rank: From 0; the first one writes and speaks.
        size: How many.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "World":
        """Join the other processes, if torchrun started any."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
        return cls(distributed.get_rank(), size)

    def leave(self) -> None:
        """Part from the others, when all are done."""
        if self.size > 1:
            distributed.barrier()
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> range:
        """The numbers of the patches of a batch that this process sees.

        Raises:
            DataError: If the batch does not divide evenly.
        """
        if batch_size % self.size:
            raise DataError(
                f"batch_size: expected a multiple of the {self.size} processes that "
                f"share it, found {batch_size}; set it, or start fewer processes"
            )
        each = batch_size // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, part: Tensor) -> Tensor:
        """The sum over all processes; its gradient is that of this one's part.

        Summed up by ``add_gradients``, these are the gradients of the whole.
        """
        if self.size == 1:
            return part
        whole = part.detach().clone()
        distributed.all_reduce(whole)
        return part + (whole - part.detach())

    def add_gradients(self, network: nn.Module) -> None:
        """Give every process the sum of the gradients of all."""
        if self.size == 1:
            return
        gradients = [
            weight.grad for weight in network.parameters() if weight.grad is not None
        ]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            part = flat[start : start + gradient.numel()]
            gradient.copy_(part.view_as(gradient))
            start += gradient.numel()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()
