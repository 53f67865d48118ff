# One image for every role: foreshock stream, api, collect (see compose.yaml).
FROM node:20-slim AS page
WORKDIR /ui
COPY ui/package.json ui/package-lock.json ui/.npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md ./
COPY foreshock foreshock
COPY schemas schemas
COPY store store
COPY log log
COPY stream stream
COPY api api
COPY ui ui
COPY --from=page /ui/node_modules ui/node_modules
# Editable, so that the page is found beside the code.
RUN pip install --no-cache-dir -e . && useradd --create-home foreshock
USER foreshock
ENTRYPOINT ["foreshock"]
CMD ["up"]
