/** Numbers as people read them. Unknown is `-`, never 0. */

export const UNKNOWN = '-'

export function count(value: number | null | undefined): string {
  if (value == null) return UNKNOWN
  return String(Math.trunc(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** `1 entry`, `2 entries`. */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : more}`
}

const BYTE_UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const

export function bytes(value: number | null | undefined): string {
  if (value == null) return UNKNOWN
  let scaled = value
  let unit = 0
  while (scaled >= 1000 && unit < BYTE_UNITS.length - 1) {
    scaled /= 1000
    unit += 1
  }
  const digits = unit === 0 || scaled >= 100 ? 0 : 1
  return `${scaled.toFixed(digits)} ${BYTE_UNITS[unit]}`
}

/** `12 ms`, `4.2 s`, `4m12s`, `2h14m`, `3d4h`. */
export function duration(valueMs: number | null | undefined): string {
  if (valueMs == null) return UNKNOWN
  if (valueMs < 1000) return `${Math.round(valueMs)} ms`
  if (valueMs < 60_000) return `${(valueMs / 1000).toFixed(1)} s`
  const seconds = Math.floor(valueMs / 1000)
  const parts = [Math.floor(seconds / 86_400), Math.floor((seconds % 86_400) / 3600), Math.floor((seconds % 3600) / 60), seconds % 60]
  const names = ['d', 'h', 'm', 's']
  const first = parts.findIndex((part) => part > 0)
  const pair = [first, first + 1].filter((at) => at < parts.length)
  return pair
    .map((at, nth) => (nth === 0 ? `${parts[at]}` : String(parts[at]).padStart(at === 3 || at === 2 ? 2 : 1, '0')) + names[at])
    .join('')
}

/** Of a latency, the digits that count, without a unit: `0.42`, `3.1`, `61`. */
export function milliseconds(valueMs: number | null): string {
  if (valueMs === null) return UNKNOWN
  return valueMs >= 10 ? count(Math.round(valueMs)) : valueMs >= 1 ? valueMs.toFixed(1) : valueMs.toFixed(2)
}

/** Of a latency that missed a limit: with all its digits where fewer would look like the limit itself. */
export function millisecondsBeside(valueMs: number, limitMs: number): string {
  const short = milliseconds(valueMs)
  return short === milliseconds(limitMs) ? String(valueMs) : short
}

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads `500ms`, `5s`, `1.5m`, `2h`, `1m30s`; null when it is not a duration. A bare number is refused: it has no unit. */
export function parseDuration(text: string): number | null {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return text === '0' ? 0 : null
  let total = 0
  for (const [, value, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(value) * (UNIT_MS[unit as string] as number)
  return total
}

const LATENCY_UNIT_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 }

/** Reads `300us`, `20ms`, `1.5s` as milliseconds; null when it is none of these. */
export function parseLatency(text: string): number | null {
  const [, value, unit = ''] = /^(\d+(?:\.\d+)?)(us|ms|s)$/.exec(text) ?? []
  return value === undefined ? null : Number(value) * LATENCY_UNIT_MS[unit]!
}

/** A duration as a flag would take it: `5s`, `1500ms`. */
export function durationFlag(valueMs: number): string {
  if (valueMs === 0) return '0s'
  for (const unit of ['h', 'm', 's']) {
    const size = UNIT_MS[unit] as number
    if (valueMs % size === 0) return `${valueMs / size}${unit}`
  }
  return `${valueMs}ms`
}
