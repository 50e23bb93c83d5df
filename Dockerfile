# The page on a CPU:
#   docker build -t langtrack . && docker run --rm --init -p 127.0.0.1:7860:7860 langtrack
# or, with limits: docker compose up. docs/hosting.md says more.
FROM python:3.11-slim

# PyTorch's own index has it without CUDA: 0.2 GB instead of 3.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY requirements.txt ./
RUN grep -E '^torch' requirements.txt | pip install --index-url "$TORCH_INDEX" -r /dev/stdin
RUN pip install -r requirements.txt

COPY app.py ./
COPY assets ./assets
COPY langtrack_core ./langtrack_core
COPY langtrack_lab ./langtrack_lab
COPY demo ./demo

# The files of the program stay root's: whoever takes over the server cannot change them.
RUN useradd --uid 1000 --create-home --shell /usr/sbin/nologin langtrack
USER langtrack

# Inside its container the server listens on every address; which of them the host passes on, -p says.
ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]

ENTRYPOINT ["python", "app.py"]
