"""World: the processes that train one network together, started by torchrun."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from segpipe.project.errors import DataError

PATIENCE = timedelta(hours=4)  # the others wait while the first one validates


@dataclass(frozen=True)
class World:
    """The rank of this process and the number of processes, usually one.

    Attributes:
        rank: Rank of this process, from 0; the first one validates, logs and writes.
        size: Number of processes.
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
        """Wait for the other processes, then leave the group."""
        if self.size > 1:
            distributed.barrier()
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process validates, logs and writes."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> range:
        """The indices of the patches of a batch that this process draws.

        Raises:
            DataError: If the batch does not divide evenly.
        """
        if batch_size % self.size:
            raise DataError(
                f"batch_size: expected a multiple of {self.size}, the number of "
                f"processes, found {batch_size}; change it, or start fewer processes"
            )
        each = batch_size // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, part: Tensor) -> Tensor:
        """Sum over all processes, with the gradient of this process's part.

        ``add_gradients`` sums these up to the gradient of the whole.
        """
        if self.size == 1:
            return part
        whole = part.detach().clone()
        distributed.all_reduce(whole)
        return part + (whole - part.detach())

    def add_gradients(self, network: nn.Module) -> None:
        """Replace the gradients in every process by their sum over all processes."""
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

    def agree(self, decided: bool, device: torch.device) -> bool:
        """What the first process decided, in every process; all wait for it here.

        Args:
            decided: The decision of this process; only that of the first counts.
            device: The device of the training.
        """
        if self.size == 1:
            return decided
        told = torch.tensor(int(decided), device=device)
        distributed.broadcast(told, src=0)
        return bool(told)
