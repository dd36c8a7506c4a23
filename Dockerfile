# docker build -t vlm-harness .
# docker run --rm -v "$PWD:/work" vlm-harness run --method seva --bench mmvet,pope
# With a GPU: docker run --gpus all ...
FROM python:3.11-slim AS wheels
RUN pip install --no-cache-dir uv
COPY . /source
RUN uv build -q --directory /source --all-packages --wheel --out-dir /wheels

FROM python:3.11-slim
RUN --mount=from=wheels,source=/wheels,target=/wheels pip install --no-cache-dir /wheels/*.whl
WORKDIR /work
ENTRYPOINT ["harness"]
CMD ["--help"]
