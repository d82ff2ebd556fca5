# Two stages: one with pip and the locked wheels, and one with nothing in it but what runs: no shell, no package
# manager, no pip, no compiler. `make image` builds and checks it; docs/container.md says how to run it.

# Another Python, or this one by its digest: --build-arg BASE=docker.io/library/python:3.13-slim-trixie@sha256:…
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements requirements
RUN requirements/find-compiler python3
# Of what alerts can use: "email", "sentry" or both.
ARG EXTRAS=""
# Wheels only, each with a known hash. A mirror's pip.conf and certificates come as secrets: they leave no trace.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=pip-ca,target=/run/pip-ca.pem \
    python3 -m venv --without-pip /opt/build \
    && python3 -m venv --without-pip /opt/detour \
    && for locked in build compile runtime; do \
           python3 -m pip --python /opt/build install --require-hashes --only-binary :all: \
               -r "requirements/${locked}.txt" || exit 1; \
       done \
    && for locked in runtime ${EXTRAS}; do \
           python3 -m pip --python /opt/detour install --no-compile --require-hashes --only-binary :all: \
               -r "requirements/${locked}.txt" || exit 1; \
       done
COPY . .
# Its hot path is compiled; the compiler stays behind in this stage.
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 python3 -m pip --python /opt/build wheel --no-deps --no-index --no-build-isolation -w /wheel . \
    && python3 -m pip --python /opt/detour install --no-compile --no-deps --no-index /wheel/*.whl \
    && image/gather /opt/detour /rootfs \
    && mkdir /volume

FROM scratch
COPY --from=build --chown=0:0 /rootfs /
# The one place it writes to; as the working directory it is also where a store's relative path begins.
COPY --from=build --chown=65532:65532 /volume /var/lib/detour
ENV PATH=/opt/detour/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DETOUR_CONFIG=/etc/detour/detour.yaml
WORKDIR /var/lib/detour
USER 65532:65532
VOLUME ["/var/lib/detour"]
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["detour", "healthcheck"]
ENTRYPOINT ["detour"]
CMD ["serve"]
ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="Detour" \
      org.opencontainers.image.description="A sidecar reverse proxy that keeps LLM traffic on healthy providers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
