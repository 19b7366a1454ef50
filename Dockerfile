# The HTTP service, built from this source: docker build -t transferability .
# docker run -p 8000:8000 -e TRANSFERABILITY_SERVE_TOKEN=… --read-only --tmpfs /tmp transferability

FROM python:3.13-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
    build-essential curl ca-certificates libopenblas-pthread-dev libgfortran-12-dev
RUN curl -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
ENV PATH=/root/.cargo/bin:$PATH
WORKDIR /source
COPY . .
RUN pip wheel --wheel-dir /wheels ".[serve,io]"

FROM python:3.13-slim-bookworm
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels "transferability[serve,io]" \
    && useradd --system --no-create-home --uid 10001 service
USER service
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["transferability", "serve", "--host", "0.0.0.0"]
