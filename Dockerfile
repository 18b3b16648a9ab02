# The API and the page in one image: docker build --tag creditrisk .
# Models, keys and runs are volumes; nothing of them is in the image.
FROM python:3.11-slim AS environment

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements.lock /tmp/requirements.lock
RUN /opt/venv/bin/pip install --requirement /tmp/requirements.lock

FROM python:3.11-slim

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CREDITRISK_HOME=/app

# The folders that volumes cover are made here, so that a new volume belongs to who uses it.
RUN useradd --create-home --uid 10001 creditrisk \
    && mkdir --parents /app/runs /app/artifacts /keys \
    && chown creditrisk: /app/runs /app/artifacts /keys \
    && chmod 700 /keys
COPY --from=environment /opt/venv /opt/venv
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY lib lib
COPY notebooks notebooks
COPY dashboards dashboards
RUN pip install --no-cache-dir --no-deps --editable .

USER creditrisk
VOLUME ["/app/runs", "/app/artifacts", "/keys"]
EXPOSE 8000 8866

# Alive is enough: a database that is away for a minute is no reason to restart, the API answers 503 and recovers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

ENTRYPOINT ["creditrisk"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--keys", "/keys/keys.jsonl"]
