#!/usr/bin/env bash
# Write constraints/airflow-*.txt anew from pyproject.toml: one file per tested Airflow, each valid for every Python from 3.10 on.
# Needs uv on the PATH. Names and versions only: whoever installs decides where packages come from.
set -euo pipefail
cd "$(dirname "$0")/.."

# What a release of Airflow needs and does not say itself.
limits_of() {
  echo "apache-airflow==$1"
  case "$1" in
    # Their ObjectStoragePath refuses every protocol with a newer one; their own constraint files have 0.2.6.
    2.11.* | 3.0.*) echo "universal-pathlib<0.3" ;;
  esac
}

for file in constraints/airflow-*.txt; do
  airflow="${file#constraints/airflow-}"
  limits_of "${airflow%.txt}" | uv pip compile pyproject.toml \
    --extra dev --extra bench --extra e2e --extra openlineage --constraint - \
    --universal --python-version 3.10 \
    --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
    --quiet --upgrade --output-file "$file"
  echo "$file: $(wc -l < "$file") packages"
done
