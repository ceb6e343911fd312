#!/usr/bin/env bash
# Write constraints/airflow-*.txt anew from pyproject.toml: one file per tested Airflow, each valid for every Python from 3.10 on.
# Needs uv on the PATH. Names and versions only: whoever installs decides where packages come from.
set -euo pipefail
cd "$(dirname "$0")/.."

for file in constraints/airflow-*.txt; do
  airflow="${file#constraints/airflow-}"
  echo "apache-airflow==${airflow%.txt}" | uv pip compile pyproject.toml \
    --extra dev --extra openlineage --constraint - \
    --universal --python-version 3.10 \
    --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
    --quiet --upgrade --output-file "$file"
  echo "$file: $(wc -l < "$file") packages"
done
