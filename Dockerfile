# The scoring half with the server: the base install and the extras serve and signing, and nothing of training.
# Research use only. Not a medical device.
#   docker build -t dr-pipeline .
#   docker run --read-only --cap-drop ALL -p 127.0.0.1:8000:8000 -v ./release:/bundle:ro dr-pipeline
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
COPY requirements-serve.lock /build/
# The lock holds every package with its hash, and no package runs code of its own to be installed.
RUN python -m venv --without-pip /opt/dr-pipeline && \
    python -m pip --python /opt/dr-pipeline/bin/python install --no-cache-dir --no-compile --no-deps --only-binary :all: \
      --require-hashes --requirement /build/requirements-serve.lock
COPY dr_pipeline /opt/dr-pipeline/lib/python3.11/site-packages/dr_pipeline
# Compiled now: the file system is read-only later.
RUN python -m compileall -q -j 0 /opt/dr-pipeline/lib/python3.11/site-packages

FROM ${BASE}
LABEL org.opencontainers.image.title="dr-pipeline" \
      org.opencontainers.image.description="Grading of diabetic retinopathy from colour fundus photographs. Research use only. Not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/dr-pipeline /opt/dr-pipeline
# /dev/shm is memory and stays writable with a read-only root: Python's worker processes put a socket there.
ENV TMPDIR=/dev/shm PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["/opt/dr-pipeline/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["/opt/dr-pipeline/bin/python", "-m", "dr_pipeline"]
CMD ["serve", "/bundle", "--host", "0.0.0.0"]
