import { getHeapStatistics } from 'node:v8'
import { SeededRandom } from '../support/fake-environment.js'
import { type Decoder, isOverflow, type Outcome } from './decoder.js'
import { mutant } from './mutate.js'

/** No decoder may ask for more at once, or hold more afterwards, than this and a few times its input. */
const ALLOWED_BYTES = 4 * 1024 * 1024
const ALLOWED_TIMES_INPUT = 32
/** No input is long enough to be worked on for longer; far beyond what a busy machine makes of it. */
const PATIENCE_MS = 5000

export interface Finding {
  readonly problem: string
  readonly bytes: Buffer
}

export interface Counters {
  runs: number
  refused: number
  accepted: number
}

class TooMuchMemory extends Error {}

/** What is wrong with how the decoder takes these bytes; null when nothing is. Counts what became of them. */
export function judge(decoder: Decoder, bytes: Buffer, seed: number, counters: Counters): string | null {
  counters.runs++
  const startedAt = performance.now()
  let outcome: Outcome
  try {
    outcome = withinMemory(bytes.length, () => decoder.run(bytes, new SeededRandom(seed)))
  } catch (error) {
    return `threw ${describe(error)}`
  }
  const tookMs = performance.now() - startedAt
  if (tookMs > PATIENCE_MS) return `took ${Math.round(tookMs)} ms`
  if ('refused' in outcome) {
    counters.refused++
    return null
  }
  counters.accepted++
  const { encode } = outcome
  return encode ? unstable(decoder, encode, seed) : null
}

/** What was decoded can be encoded, and then says the same. */
function unstable(decoder: Decoder, encode: () => Buffer, seed: number): string | null {
  try {
    const first = encode()
    const again = decoder.run(first, new SeededRandom(seed))
    if ('refused' in again) return `accepted what it does not accept once it is encoded again: ${again.refused}`
    const second = again.encode!()
    return first.equals(second) ? null : 'encodes what it decoded in another way each time'
  } catch (error) {
    return `cannot encode what it decoded: ${describe(error)}`
  }
}

function describe(error: unknown): string {
  const { name, message, stack } = error as Error
  return `${name}: ${isOverflow(error) ? 'the stack overflowed' : message}\n${(stack ?? '').split('\n').slice(1, 6).join('\n')}`
}

/** Throws when a single buffer is far larger than the input, or when far more is held afterwards than before. */
function withinMemory<T>(inputBytes: number, run: () => T): T {
  const limit = ALLOWED_BYTES + ALLOWED_TIMES_INPUT * inputBytes
  const { alloc, allocUnsafe, allocUnsafeSlow } = Buffer
  const guard = <A extends unknown[]>(make: (size: number, ...rest: A) => Buffer) =>
    function guarded(size: number, ...rest: A) {
      if (size > limit) throw new TooMuchMemory(`asked for ${size} bytes at once for an input of ${inputBytes}`)
      return make.call(Buffer, size, ...rest)
    }
  Object.assign(Buffer, { alloc: guard(alloc), allocUnsafe: guard(allocUnsafe), allocUnsafeSlow: guard(allocUnsafeSlow) })
  const before = getHeapStatistics().external_memory
  try {
    const result = run()
    const held = getHeapStatistics().external_memory - before
    if (held > limit) throw new TooMuchMemory(`${held} bytes outside of the heap for an input of ${inputBytes}`)
    return result
  } finally {
    Object.assign(Buffer, { alloc, allocUnsafe, allocUnsafeSlow })
  }
}

/** Runs mutants of the samples until `until` says so; the first finding ends it. */
export function fuzz(
  decoder: Decoder,
  options: { readonly seed: number; readonly corpus: readonly Buffer[]; readonly until: (runs: number) => boolean },
): { counters: Counters; finding: Finding | null; seedOfRun: number } {
  const random = new SeededRandom(options.seed)
  const counters: Counters = { runs: 0, refused: 0, accepted: 0 }
  const samples = [...decoder.samples(random), ...options.corpus]
  for (const bytes of samples) {
    const problem = judge(decoder, bytes, options.seed, counters)
    if (problem) return { counters, finding: { problem, bytes }, seedOfRun: options.seed }
  }
  while (!options.until(counters.runs)) {
    const mutated = mutant(samples, random)
    const bytes = decoder.reseal && random.chance(0.5) ? decoder.reseal(Buffer.from(mutated)) : mutated
    const seedOfRun = random.u32()
    const problem = judge(decoder, bytes, seedOfRun, counters)
    if (problem) return { counters, finding: { problem, bytes: minimise(decoder, bytes, seedOfRun) }, seedOfRun }
  }
  return { counters, finding: null, seedOfRun: 0 }
}

/** The shortest piece of an input that still fails, as far as taking things out finds it. */
export function minimise(decoder: Decoder, bytes: Buffer, seed: number, triesMax = 2000): Buffer {
  const counters: Counters = { runs: 0, refused: 0, accepted: 0 }
  let best = bytes
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.length && counters.runs < triesMax; ) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
      const tried = decoder.reseal ? [shorter, decoder.reseal(Buffer.from(shorter))] : [shorter]
      const failing = tried.find((one) => one.length < best.length && judge(decoder, one, seed, counters) !== null)
      if (failing) best = failing
      else at += size
    }
  }
  return best
}
