# docker build -t parley .                   the service without embedded models, which reads no documents
# docker build -t parley --target local .    with them, and with what reads documents
#
# It runs with a read-only root and one volume:
#   docker run --stop-timeout 30 --read-only -v parley:/data -p 8000:8000 -e OPENAI_API_KEY parley
# It finishes its turns for DRAIN_SECONDS (25) when it is stopped, of which Docker's own 10 seconds would leave less than half.

FROM python:3.13-slim AS build
RUN python -m venv --without-pip /opt/parley
WORKDIR /src
COPY requirements-slim.lock ./
RUN pip --python /opt/parley/bin/python install --no-cache-dir --no-compile --require-hashes --no-deps \
    -r requirements-slim.lock
COPY app /opt/parley/lib/python3.13/site-packages/app
RUN printf '#!/opt/parley/bin/python\nimport sys\nfrom app.cli import main\nsys.exit(main())\n' > /opt/parley/bin/parley \
 && chmod +x /opt/parley/bin/parley
# Compiled here, since a read-only root cannot keep what a start compiles; not what is never imported.
RUN /opt/parley/bin/python -m compileall -q -x '/(openai|groq)/(types|resources)/|/tests?/|/testing/|/dialects/(mysql|oracle|mssql)' \
    /opt/parley/lib

FROM build AS build-local
COPY requirements.lock ./
RUN pip --python /opt/parley/bin/python install --no-cache-dir --no-compile --require-hashes --no-deps \
    -r requirements.lock
RUN /opt/parley/bin/python -m compileall -q -x '/(openai|groq)/(types|resources)/|/tests?/|/testing/|/dialects/(mysql|oracle|mssql)' \
    /opt/parley/lib

FROM python:3.13-slim AS base
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN mkdir /data && chown 65534:65534 /data
ENV PATH=/opt/parley/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 DATA_DIR=/data
USER 65534:65534
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-m", "app.healthcheck"]
CMD ["parley", "serve"]

FROM base AS local
COPY --from=build-local /opt/parley /opt/parley

FROM base AS slim
COPY --from=build /opt/parley /opt/parley
