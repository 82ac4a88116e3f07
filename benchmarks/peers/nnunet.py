"""nnU-Net, in its own environment: answers requests on standard input.

The benchmarks start it with the interpreter that --peer names; it answers each line of
JSON with another. Between requests it waits and uses no time. It must run without
segpipe's dependencies; it loads only the files of segpipe's networks, so that both use
the same network.
"""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.update(nnUNet_raw=".", nnUNet_preprocessed=".", nnUNet_results=".")

import numpy as np
import torch
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.preprocessing.preprocessors.default_preprocessor import (
    DefaultPreprocessor,
)
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from benchmarks.peers.answering import answer_all, peak_mb

ROTATION = (-30 / 360 * 2 * np.pi, 30 / 360 * 2 * np.pi)


def build_plans(
    spacing: list, patch: list, *, reader: str, transpose: list
) -> PlansManager:
    """Plans with linear interpolation of images, label maps and probabilities."""
    linear = {"is_seg": False, "order": 1, "order_z": 1, "force_separate_z": None}
    resample = "resample_data_or_seg_to_shape"
    configuration = {
        "spacing": spacing,
        "patch_size": patch,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": resample,
        "resampling_fn_data_kwargs": linear,
        "resampling_fn_seg": resample,
        "resampling_fn_seg_kwargs": {**linear, "is_seg": True},
        "resampling_fn_probabilities": resample,
        "resampling_fn_probabilities_kwargs": linear,
        "data_identifier": "benchmark",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "architecture": {},
    }
    return PlansManager(
        {
            "image_reader_writer": reader,
            "transpose_forward": transpose,
            "transpose_backward": transpose,
            "foreground_intensity_properties_per_channel": {"0": {}},
            "label_manager": "LabelManager",
            "configurations": {"3d_fullres": configuration},
        }
    )


class Training:
    """nnU-Net's own step, loss, optimizer and augmentation around a given network."""

    def __init__(self, given: dict) -> None:
        torch.set_num_threads(given["threads"])
        sys.path.insert(0, given["segpipe"])
        from segpipe.networks.unet3d import UNet3d

        torch.manual_seed(0)
        network = UNet3d(
            1,
            given["classes"],
            base_channels=given["base_channels"],
            padding="same",
        )
        loss = DC_and_CE_loss(
            {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False},
            {},
            weight_ce=1,
            weight_dice=1,
            ignore_label=None,
            dice_class=MemoryEfficientSoftDiceLoss,
        )
        optimizer = torch.optim.SGD(
            network.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True
        )
        self.trainer = SimpleNamespace(
            network=network,
            optimizer=optimizer,
            loss=loss,
            device=torch.device("cpu"),
            grad_scaler=None,
        )
        self.patch, self.batch = tuple(given["patch"]), given["batch"]
        self.augment = nnUNetTrainer.get_training_transforms(
            self.patch, ROTATION, None, (0, 1, 2), False
        )
        self.cases = [
            [
                self._padded(np.load(f"{folder}/image.npy")),
                self._padded(np.load(f"{folder}/label.npy")[None]),
            ]
            for folder in given["cases"]
        ]
        self.rng = np.random.default_rng(0)
        self.kept = self.draw()

    def _padded(self, array: np.ndarray) -> np.ndarray:
        short = [
            max(0, p - n) for p, n in zip(self.patch, array.shape[1:], strict=True)
        ]
        return np.pad(array, [(0, 0), *((0, n) for n in short)])

    def draw(self) -> dict:
        """Cut patches from memory; nnU-Net itself reads them from disk."""
        images, labels = [], []
        for _ in range(self.batch):
            image, label = self.cases[int(self.rng.integers(len(self.cases)))]
            window = [slice(None)]
            for size, whole in zip(self.patch, image.shape[1:], strict=True):
                start = int(self.rng.integers(whole - size + 1))
                window.append(slice(start, start + size))
            done = self.augment(
                image=torch.from_numpy(image[tuple(window)].copy()),
                segmentation=torch.from_numpy(label[tuple(window)].astype(np.int16)),
            )
            images.append(done["image"])
            labels.append(done["segmentation"])
        return {"data": torch.stack(images), "target": torch.stack(labels)}

    def run(self, steps: int, fresh: bool) -> dict:
        """Seconds of some steps, with fresh patches each or with the same ones."""
        self.trainer.network.train()
        began = time.perf_counter()
        for _ in range(steps):
            batch = self.draw() if fresh else self.kept
            nnUNetTrainer.train_step(self.trainer, batch)
        return {"seconds": time.perf_counter() - began}


class Preprocessing:
    """nnU-Net's preprocessing of NIfTI files, with linear interpolation."""

    def __init__(self, given: dict) -> None:
        torch.set_num_threads(given["threads"])
        self.plans = build_plans(
            given["spacing"][::-1],
            [64, 64, 64],
            reader="NibabelIOWithReorient",
            transpose=[0, 1, 2],
        )
        self.about = {"labels": given["labels"], "file_ending": ".nii"}
        self.output = given["output"]

    def run(self, image: str, label: str) -> dict:
        """Seconds of a case, from file to file, and the peak memory so far."""
        work = DefaultPreprocessor(verbose=False)
        for file in Path(self.output).glob("written*"):
            file.unlink()
        began = time.perf_counter()
        work.run_case_save(
            str(Path(self.output) / "written"),
            [image],
            label,
            self.plans,
            self.plans.get_configuration("3d_fullres"),
            self.about,
        )
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "peak_mb": peak_mb()}


class Segmenting:
    """nnU-Net's predictor, from NIfTI to NIfTI, around a given network."""

    def __init__(self, given: dict) -> None:
        self.threads = given["threads"]
        torch.set_num_threads(self.threads)
        sys.path.insert(0, given["segpipe"])
        from segpipe.networks.unet3d import UNet3d
        from segpipe.networks.vnet import VNet

        width = {"base_channels": given["base_channels"]}
        network = (
            VNet(1, given["classes"], **width)
            if given["network"] == "vnet"
            else UNet3d(1, given["classes"], padding="same", **width)
        )
        network.load_state_dict(torch.load(given["weights"], weights_only=True))
        self.plans = build_plans(
            [1.0, 1.0, 1.0],
            given["patch"],
            reader="NibabelIO",
            transpose=[2, 1, 0],  # from its k, j, i to our i, j, k
        )
        self.about = {
            "labels": {"background": 0}
            | {f"structure {n}": n for n in range(1, given["classes"])},
            "file_ending": ".nii",
        }
        self.configuration = self.plans.get_configuration("3d_fullres")
        self.predictor = nnUNetPredictor(
            tile_step_size=1 - given["overlap_fraction"],
            use_gaussian=True,
            use_mirroring=False,
            device=torch.device("cpu"),
            allow_tqdm=False,
        )
        self.predictor.manual_initialization(
            network, self.plans, self.configuration, None, self.about, "", None
        )

    def run(self, image: str, goal: str) -> dict:
        """Seconds from file to file, in total and by part."""
        began = time.perf_counter()
        work = DefaultPreprocessor(verbose=False)
        data, _, about = work.run_case(
            [image], None, self.plans, self.configuration, self.about
        )
        prepared = time.perf_counter()
        logits = self.predictor.predict_sliding_window_return_logits(
            torch.from_numpy(data)
        )
        predicted = time.perf_counter()
        labels = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self.plans,
            self.configuration,
            self.plans.get_label_manager(self.about),
            about,
            num_threads_torch=self.threads,
        )
        self.plans.image_reader_writer_class().write_seg(labels, goal, about)
        ended = time.perf_counter()
        return {
            "seconds": ended - began,
            "parts": {
                "read, prepare": prepared - began,
                "network, blend": predicted - prepared,
                "resample, write": ended - predicted,
            },
        }


if __name__ == "__main__":
    kinds = {
        "training": Training,
        "preprocessing": Preprocessing,
        "segmenting": Segmenting,
    }
    answer_all(lambda kind, given: kinds[kind](given).run)
