"""SegmentSettings: how a segmenter is used and what is written, with the defaults.

The command, the flow and the manifest share it. It imports nothing heavy, so that the
command line can show the defaults.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
Blending = Literal["gaussian", "constant"]
UsedEngine = Literal["torch", "openvino"]
Engine = Literal["torch", "openvino", "auto"]
SkipEmpty = Literal["auto", "never"]
LookFirst = Literal["auto", "never"]


class SegmentSettings(BaseModel):
    """What a user may choose; the same settings give the same key and the same mask.

    The stages predict and train take their own from params.yaml, which has no defaults.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False
    )

    blending: ClassVar[Blending] = "gaussian"

    overlap_fraction: float = Field(
        0.5, ge=0, le=0.9, description="Overlap of neighbouring tiles."
    )
    memory_gb: float = Field(
        4.0, ge=0, description="Memory for a forward pass and its outputs."
    )
    mirror: bool = Field(
        False, description="Average over mirrored images, which is slower."
    )
    device: Device = Field("auto", description="auto, cpu or cuda.")
    precision: Precision = Field("auto", description="auto, fp32 or bf16.")
    engine: Engine = Field("torch", description="torch, openvino or auto.")
    threads: int = Field(1, ge=1, description="CPU threads of each case.")
    skip_empty: SkipEmpty = Field(
        "auto", description="auto: leave out what the plan knows to be empty; never."
    )
    coarse: LookFirst = Field(
        "auto",
        description="auto: look only where the coarse networks found structures; "
        "never: look everywhere.",
    )
    probabilities: bool = Field(
        False, description="Write the probabilities, one file per structure."
    )
    uncertainty: bool = Field(
        False, description="Write the entropy and the disagreement of the folds."
    )
    instances: bool = Field(
        False, description="Write the connected components, numbered."
    )
    overlay: bool = Field(True, description="Draw the structures over the image.")
    spacing_mm: tuple[PositiveFloat, PositiveFloat] | None = Field(
        None,
        strict=False,  # a form gives a list
        description="Spacing of pictures that carry none: columns, rows.",
    )
    resample_tilt: bool = Field(
        False, description="Straighten DICOM slices of a tilted gantry."
    )

    def to_json(self) -> dict[str, str | int | float | bool]:
        """All that may change a result, for the manifest and for the key.

        Device, precision and engine must be resolved: the key names what ran, not
        ``auto``. It names no engine where torch ran, as before there were others, and
        does not say that nothing was skipped or that everything was looked at.
        """
        assert self.device != "auto", self
        assert self.precision != "auto", self
        assert self.engine != "auto", self
        usual = {"engine": "torch", "skip_empty": "never", "coarse": "never"}
        chosen = self.model_dump()
        chosen = {k: v for k, v in chosen.items() if v != usual.get(k)}
        return {
            "overlap_fraction": chosen.pop("overlap_fraction"),
            "blending": self.blending,
            **chosen,
            "spacing_mm": ",".join(map(str, self.spacing_mm or ())),
        }
