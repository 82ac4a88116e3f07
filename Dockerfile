# segpipe with the locked packages; a study is mounted at /study (docs/how-to/studies.md).
#   docker build --tag segpipe .
#   docker build --tag segpipe:cuda --build-arg TORCH=https://pypi.org/simple .
# PyPI's torch brings CUDA along, so both have the same base; the machine needs the
# NVIDIA container toolkit. BASE is any other image with Python 3.11, pip and apt.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ARG TORCH=https://download.pytorch.org/whl/cpu
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.lock /source/
RUN pip install --no-cache-dir --extra-index-url ${TORCH} --requirement /source/requirements.lock
COPY pyproject.toml setup.py MANIFEST.in README.md CHANGELOG.md LICENSE /source/
COPY .dvcignore .gitignore dvc.yaml prefect.yaml requirements-numerics.lock /source/
COPY .dvc /source/.dvc
COPY presets /source/presets
COPY flows /source/flows
COPY segpipe /source/segpipe
RUN pip install --no-cache-dir --no-deps /source
# Whoever runs it with --user has no home in the image.
ENV HOME=/tmp DVC_NO_ANALYTICS=1 DO_NOT_TRACK=1 MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
WORKDIR /study
CMD ["segpipe", "--help"]
