# Sourced by scripts/start and scripts/test: brings a checkout to the point where everything is installed and built. Does only
# what is missing or stale, so it costs a tenth of a second when there is nothing to do.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v node >/dev/null || ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; then
  echo "raftctl needs Node.js 20.19 or newer (found: $(node --version 2>/dev/null || echo none)): https://nodejs.org" >&2
  exit 1
fi
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-audit --no-fund >&2
fi
node scripts/build.mjs --if-stale >&2
