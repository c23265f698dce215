import type { Clock, Executor } from '../../raft/environment.js'

/** Where long work takes its turns. Without a clock a slice is bounded by its cost alone and the next one follows at once. */
export interface Pace {
  readonly executor: Executor
  readonly clock?: Clock
}

/** A slice ends at the first of these. */
export const SLICE_BYTES = 64 * 1024
export const SLICE_STEPS = 1024
const SLICE_MS = 2
/**
 * Between two slices at least, for those whose work is urgent: an executor may run several functions in one turn. A slice that took
 * longer, on a busy machine, is followed by as long a pause.
 */
const PAUSE_MS = 1
const PAUSE_MS_MAX = 50
const STEPS_BETWEEN_LOOKS = 16

/**
 * Runs `work` in slices, each an event of its own, so that whatever else waits is served in between. `work` yields at each
 * place where it may be interrupted, with the bytes it has dealt with since. `done` gets what it returned.
 */
export function runSliced<T>(pace: Pace, work: Generator<number, T>, done: (result: T) => void): { cancel(): void } {
  const { executor, clock } = pace
  let cancelled = false
  const slice = () => {
    if (cancelled) return
    const startedAt = clock?.now() ?? 0
    const end = clock === undefined ? Number.POSITIVE_INFINITY : startedAt + SLICE_MS
    let bytes = 0
    for (let steps = 1; ; steps++) {
      const step = work.next()
      if (step.done) return done(step.value)
      bytes += step.value
      if (bytes >= SLICE_BYTES || steps >= SLICE_STEPS) break
      if (clock !== undefined && steps % STEPS_BETWEEN_LOOKS === 0 && clock.now() >= end) break
    }
    if (clock === undefined) executor.post(slice, 'kv-slice')
    else clock.schedule(Math.min(Math.max(PAUSE_MS, clock.now() - startedAt), PAUSE_MS_MAX), slice, 'kv-slice')
  }
  executor.post(slice, 'kv-slice')
  return {
    cancel: () => {
      cancelled = true
    },
  }
}

/** Sorts `items` in place of a new array, yielding on the way (merges from the bottom up). */
export function* sortSliced<T>(items: T[], compare: (a: T, b: T) => number): Generator<number, T[]> {
  const run = 1024
  let from = items
  for (let start = 0; start < from.length; start += run) {
    const sorted = from.slice(start, start + run).sort(compare)
    for (let i = 0; i < sorted.length; i++) from[start + i] = sorted[i]!
    yield SLICE_BYTES / 8
  }
  let to = new Array<T>(from.length)
  for (let width = run; width < from.length; width *= 2) {
    for (let start = 0; start < from.length; start += 2 * width) {
      yield* merge(
        { from, to, start, middle: Math.min(start + width, from.length), end: Math.min(start + 2 * width, from.length) },
        compare,
      )
    }
    ;[from, to] = [to, from]
  }
  return from
}

interface Merge<T> {
  readonly from: readonly T[]
  readonly to: T[]
  readonly start: number
  readonly middle: number
  readonly end: number
}

function* merge<T>({ from, to, start, middle, end }: Merge<T>, compare: (a: T, b: T) => number): Generator<number, void> {
  let left = start
  let right = middle
  for (let at = start; at < end; at++) {
    const takeLeft = left < middle && (right >= end || compare(from[left]!, from[right]!) <= 0)
    to[at] = takeLeft ? from[left++]! : from[right++]!
    if ((at & 1023) === 0) yield SLICE_BYTES / 8
  }
}
