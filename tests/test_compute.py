"""Models that carry code from before the rooms say what to do."""

from pathlib import Path

import mlflow.pyfunc
import pytest
from mlflow.exceptions import MlflowException

BEFORE_THE_ROOMS = """
import mlflow.pyfunc
from mlflow.models import set_model

from segpipe.compute import ComputeParams, build_compute
from segpipe.segmenter import Inference, Segmenter
"""
BEFORE_THE_SPEC_WAS_DIVIDED = """
import mlflow.pyfunc
from mlflow.models import set_model

from segpipe.segmenter.spec import SegmenterSpec, ensemble_digest, segmenter_digest
"""
TRIVIAL = """
import mlflow.pyfunc
from mlflow.models import set_model


class Nothing(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


set_model(Nothing())
"""


@pytest.mark.parametrize("old", [BEFORE_THE_ROOMS, BEFORE_THE_SPEC_WAS_DIVIDED])
def test_a_model_with_the_old_code_says_to_register_it_again(
    old: str, tmp_path: Path
) -> None:
    code, model = tmp_path / "serving.py", tmp_path / "model"
    code.write_text(TRIVIAL)
    mlflow.pyfunc.save_model(str(model), python_model=str(code), pip_requirements=[])
    (model / "serving.py").write_text(old)

    with pytest.raises(MlflowException, match="register it again with `segpipe re"):
        mlflow.pyfunc.load_model(str(model))
