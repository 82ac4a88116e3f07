"""A wheel carries what a study needs and a checkout has in its root.

The files lie in one place, the root. The wheel has copies in segpipe/shipped/, which
segpipe/project/origin/study.py finds. All else about the package stands in
pyproject.toml.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
FILES = (
    ".dvc/.gitignore",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
    "dvc.yaml",
    "prefect.yaml",
    "presets/*.yaml",
    "requirements-numerics.lock",
)


class BuildWithFiles(build_py):
    """Copy the files into the wheel; an editable install finds them in the root."""

    def run(self) -> None:
        """Build the modules, then add the files."""
        super().run()
        if self.editable_mode:
            return
        for pattern in FILES:
            for source in sorted(ROOT.glob(pattern)):
                goal = Path(self.build_lib, "segpipe/shipped", source.relative_to(ROOT))
                self.mkpath(str(goal.parent))
                self.copy_file(str(source), str(goal))


setup(cmdclass={"build_py": BuildWithFiles})
