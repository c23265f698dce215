// Sides are measured in turns, so that a busy moment of the machine hits all alike; what is told are medians and their ratio.

/**
 * `sides` by name, each an async function that measures once and answers figures by name. Each round measures all, in an order
 * that turns. Answers for each side the medians, and all that was measured.
 */
export async function inTurns(sides, { rounds, onMeasured = () => {} }) {
  const names = Object.keys(sides)
  const measured = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const figures = await sides[name]()
      measured[name].push(figures)
      onMeasured(name, figures, round)
    }
  }
  return Object.fromEntries(names.map((name) => [name, { ...medians(measured[name]), runs: measured[name] }]))
}

export function median(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b)
  if (sorted.length === 0) return null
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The value below which the share lies; `values` in any order. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? null
}

function medians(runs) {
  const names = Object.keys(runs[0] ?? {})
  return Object.fromEntries(names.map((name) => [name, median(runs.map((run) => run[name]))]))
}
