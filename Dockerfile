# The workflow and its environment, of the versions in requirements.lock (docs/containers.md).
#   docker build --tag modelsoups:cuda .
#   docker build --tag modelsoups:cpu --build-arg VARIANT=cpu .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# torch.compile calls a C compiler, of whatever version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

ARG VARIANT=cuda
COPY requirements.lock /modelsoups/
COPY envs/install.sh /modelsoups/envs/
RUN /modelsoups/envs/install.sh ${VARIANT} /opt/modelsoups
ENV PATH=/opt/modelsoups/bin:$PATH

WORKDIR /modelsoups
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
