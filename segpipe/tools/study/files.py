"""files: what segpipe writes into a study, made from the files of its own root.

There is one graph and one list of deployments. A study's files differ from those of a
checkout by what this module says, and by nothing else.
"""

import re
from importlib.metadata import version

from segpipe.project.origin.study import CHECKOUT, Study, digest_text, shipped

# In a checkout, the stage code runs when the code or the pins were changed. A study has
# neither: there the stage always runs, and the others run if its digests differ.
CODE = "    deps:\n      - segpipe\n      - requirements-numerics.lock\n"
CODE_OF_STUDY = "    always_changed: true # it looks at the installed segpipe\n"
EVENTS = f"segpipe.project.{CHECKOUT}}}"
DEVELOPING = "\n# What developing"  # the rest of .gitignore
README = """\
# {name}

A study of segpipe: the data, the params and the results of one data set. The code is
the installed package; this folder was made by segpipe {version}.

```bash
segpipe phantom data     # the example; for your own: segpipe import FOLDER
segpipe preset quick     # a complete params.yaml; a wrong name lists all presets
dvc add data
git add data.dvc params.yaml
git commit -m "Import"   # before dvc repro, so that each run names the commit behind it
dvc repro                # from verify to report; a second time only looks at the code
segpipe record           # into MLflow
segpipe results          # the table, and where the report lies
```

Commit what `git status` shows then, and with every result that you want to find again.
`segpipe --help` lists all commands. Two more programs:

- `python -m flows.reproduce` does what `dvc repro` does, as a Prefect flow;
- `python -m flows.services start` starts Prefect, MLflow and workers on this machine,
  `python -m flows.services stop` ends them.

After an update of the package, `segpipe upgrade` says what `dvc repro` will run again.
"""


def files_of_segpipe(name: str) -> dict[str, str]:
    """The files of a study that follow segpipe: path to text."""
    return {
        "dvc.yaml": _replace(_read("dvc.yaml"), CODE, CODE_OF_STUDY),
        "prefect.yaml": _name_deployments(_read("prefect.yaml"), name),
        ".dvcignore": _read(".dvcignore"),
        ".gitignore": _read(".gitignore").split(DEVELOPING)[0],
    }


def files_of_user(name: str, *, git: bool) -> dict[str, str]:
    """The files of a study that its user changes: path to text.

    Args:
        name: Name of the study.
        git: Whether the study is a git repository, as DVC must know.
    """
    config = _read(".dvc/config")
    if not git:
        config = _replace(config, "[core]\n", "[core]\n    no_scm = true\n")
    return {
        ".dvc/config": config,
        ".dvc/.gitignore": _read(".dvc/.gitignore"),
        "params.yaml": _read("presets/phantom.yaml"),
        "README.md": README.format(name=name, version=version("segpipe")),
    }


def describe_study(name: str, files: dict[str, str]) -> Study:
    """The study.json of files that were written now."""
    digests = {path: digest_text(text) for path, text in files.items()}
    return Study(format_version=1, name=name, segpipe=version("segpipe"), files=digests)


def _name_deployments(text: str, name: str) -> str:
    """Name the deployments FLOW/STUDY, so that several studies share a server.

    The triggers of retrain and promote wait for the events of this study alone.
    """
    text = _replace(text, f"\nname: {CHECKOUT}\n", f'\nname: "{name}"\n')
    text = re.sub(r"^  - name: \w+$", f'  - name: "{name}"', text, flags=re.M)
    text = _replace(text, "Retrain on new data", f"Retrain {name} on new data")
    text = _replace(text, "approved versions", f"approved versions of {name}")
    assert text.count(EVENTS) == 2, text
    return text.replace(EVENTS, f'"segpipe.project.{name}"}}')


def _read(name: str) -> str:
    return shipped(name).read_text(encoding="utf-8")


def _replace(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)
