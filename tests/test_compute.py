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
TRIVIAL = """
import mlflow.pyfunc
from mlflow.models import set_model


class Nothing(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


set_model(Nothing())
"""


def test_a_model_with_the_old_code_says_to_register_it_again(tmp_path: Path) -> None:
    code, model = tmp_path / "serving.py", tmp_path / "model"
    code.write_text(TRIVIAL)
    mlflow.pyfunc.save_model(str(model), python_model=str(code), pip_requirements=[])
    (model / "serving.py").write_text(BEFORE_THE_ROOMS)

    with pytest.raises(MlflowException, match="register it again with `segpipe re"):
        mlflow.pyfunc.load_model(str(model))
