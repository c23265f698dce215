import { readFileSync } from 'node:fs'
import { CliError } from '../../terminal/errors.js'
import type { ChaosKind } from './fault.js'
import { drawn, type FaultDraft, type Part, type PlannedFault, partOf, pick, seeded } from './plan.js'
import { type Entry, ScenarioText } from './scenario-text.js'

/** A scenario as it was read. */
export interface Scenario {
  readonly name: string
  /** Null: as the flags say. */
  readonly writers: number | null
  readonly settleMs: number | null
  readonly steps: readonly Step[]
}

type Step =
  | { readonly kind: 'fault'; readonly draft: FaultDraft; readonly whenMs: number | null; readonly forMs: number }
  | {
      readonly kind: 'random'
      readonly kinds: readonly ChaosKind[]
      readonly whenMs: number | null
      readonly everyMs: number
      readonly forMs: number
      readonly duringMs: number
    }

export const KINDS = ['kill', 'pause', 'partition', 'delay', 'drop', 'skew', 'disk-full', 'slow-disk'] as const

const FOR_MS = 10_000
const LONGEST_MS = 3_600_000
/** Without a `when` a step begins this long after the one before has healed. */
const BREATH_MS = 1000
const EVERY_MS = 10_000
const DURING_MS = 60_000

/** Reads a scenario. Throws E_USAGE when there is no such file, E_CONFIG with line and column for what it does not understand. */
export async function readScenario(path: string): Promise<Scenario> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CliError('E_USAGE', `the scenario cannot be read: ${(error as Error).message}`, {
      hint: 'Give the file:  raftctl chaos run scenario.yaml',
    })
  }
  return parseScenario(text, path)
}

/** Pure part of `readScenario`. */
export async function parseScenario(text: string, path: string): Promise<Scenario> {
  const source = await ScenarioText.parse(text, path)
  const root = source.map(source.root, ['name', 'writers', 'settle', 'steps'], 'a scenario')
  const steps = root.required('steps')
  const read = source.list(steps, 'steps').map((entry) => readStep(source, entry))
  if (read.length === 0) throw source.broken(steps, 'there is no step', '- what: kill\n    who: leader')
  const name = root.get('name')
  const writers = root.get('writers')
  const settle = root.get('settle')
  return {
    name: name ? source.text(name, 'name') : path.replace(/^.*\//, '').replace(/\.ya?ml$/, ''),
    writers: writers ? source.number(writers, { what: 'writers', least: 0, most: 64, whole: true }) : null,
    settleMs: settle ? source.duration(settle, 'settle', LONGEST_MS) : null,
    steps: read,
  }
}

function readStep(source: ScenarioText, entry: Entry): Step {
  if (source.has(entry, 'random')) return readRandom(source, entry)
  const step = source.map(entry, ['what', 'who', 'when', 'for', 'one-way', 'ms', 'jitter', 'pct', 'by', 'rate', 'free'], 'a step')
  const what = step.required('what')
  const kind = source.oneOf(what, KINDS, 'a kind of fault')
  const takes = FIELDS[kind]
  for (const [field, at] of step.entries())
    if (!['what', 'who', 'when', 'for', ...takes].includes(field))
      throw source.broken(at, `${kind} takes no "${field}"`, takes.length === 0 ? 'leave it out' : `it takes ${takes.join(', ')}`)
  const whenAt = step.get('when')
  const forAt = step.get('for')
  return {
    kind: 'fault',
    draft: readDraft(source, kind, step),
    whenMs: whenAt ? source.duration(whenAt, 'when', LONGEST_MS) : null,
    forMs: forAt ? source.duration(forAt, 'for', LONGEST_MS) : FOR_MS,
  }
}

const FIELDS: Record<ChaosKind, readonly string[]> = {
  kill: [],
  pause: [],
  partition: ['one-way'],
  delay: ['ms', 'jitter'],
  drop: ['pct'],
  skew: ['by', 'rate'],
  'disk-full': ['free'],
  'slow-disk': ['ms', 'jitter'],
}

type Fields = ReturnType<ScenarioText['map']>

function readDraft(source: ScenarioText, kind: ChaosKind, step: Fields): FaultDraft {
  const number = (field: string, bounds: { least: number; most: number; otherwise?: number; whole?: boolean }) => {
    const at = bounds.otherwise === undefined ? step.required(field) : step.get(field)
    return at ? source.number(at, { what: field, ...bounds }) : bounds.otherwise!
  }
  switch (kind) {
    case 'partition': {
      const oneWay = step.get('one-way')
      return { kind, groups: readGroups(source, step.required('who')), oneWay: oneWay ? source.flag(oneWay, 'one-way') : false }
    }
    case 'drop': {
      const who = step.get('who')
      return { kind, who: who ? readPart(source, who) : null, percent: number('pct', { least: 0, most: 100 }) }
    }
    case 'kill':
    case 'pause':
      return { kind, who: readPart(source, step.required('who')) }
    case 'delay':
    case 'slow-disk': {
      const whole = { least: 0, most: LONGEST_MS, whole: true }
      return {
        kind,
        who: readPart(source, step.required('who')),
        delayMs: number('ms', whole),
        jitterMs: number('jitter', { ...whole, otherwise: 0 }),
      }
    }
    case 'skew': {
      const by = step.get('by')
      const aheadMs = by ? source.duration(by, 'by', LONGEST_MS) : 0
      return { kind, who: readPart(source, step.required('who')), aheadMs, rate: number('rate', { least: 0.1, most: 10, otherwise: 1 }) }
    }
    case 'disk-full': {
      const free = step.get('free')
      return { kind, who: readPart(source, step.required('who')), freeBytes: free ? source.size(free, 'free') : 16_000_000 }
    }
  }
}

/** `leader`, or groups: `[[leader], [n2, n3]]`; a list of names is one group against the rest. */
function readGroups(source: ScenarioText, who: Entry): readonly (readonly Part[])[] {
  if (!source.isList(who)) return [[readPart(source, who)]]
  const items = source.list(who, 'who')
  if (items.length === 0) throw source.broken(who, 'the partition names nobody', 'who: [n1, n2]')
  if (!items.some((item) => source.isList(item))) return [items.map((item) => readPart(source, item))]
  return items.map((item) => source.list(item, 'a group').map((one) => readPart(source, one)))
}

function readPart(source: ScenarioText, at: Entry): Part {
  return partOf(source.text(at, 'who'))
}

function readRandom(source: ScenarioText, entry: Entry): Step {
  const outer = source.map(entry, ['random', 'when'], 'a random step')
  const random = source.map(outer.required('random'), ['kinds', 'every', 'for', 'during'], 'random')
  const kindsAt = random.get('kinds')
  const kinds = kindsAt ? source.list(kindsAt, 'kinds').map((at) => source.oneOf(at, KINDS, 'a kind of fault')) : [...KINDS]
  if (kinds.length === 0) throw source.broken(kindsAt!, 'there is no kind', 'kinds: [kill, pause]')
  const duration = (field: string, otherwise: number) => {
    const at = random.get(field)
    return at ? source.duration(at, field, LONGEST_MS) : otherwise
  }
  const everyMs = duration('every', EVERY_MS)
  const forMs = duration('for', Math.min(FOR_MS, everyMs / 2))
  if (everyMs <= 0) throw source.broken(random.get('every')!, '"every" must be longer than nothing', 'every: 10s')
  const when = outer.get('when')
  return {
    kind: 'random',
    kinds,
    everyMs,
    forMs,
    duringMs: duration('during', DURING_MS),
    whenMs: when ? source.duration(when, 'when', LONGEST_MS) : null,
  }
}

/** The faults of a scenario in the order of their times; the same for the same seed. */
export function scheduleOf({ steps }: Scenario, seed: number): PlannedFault[] {
  const planned: PlannedFault[] = []
  let endsMs = 0
  let first = true
  for (const [at, step] of steps.entries()) {
    const startMs = step.whenMs ?? (first ? 0 : endsMs + BREATH_MS)
    first = false
    const faults =
      step.kind === 'fault' ? [{ atMs: startMs, forMs: step.forMs, draft: step.draft }] : drawnFrom(step, startMs, seeded(seed + at))
    planned.push(...faults)
    endsMs = Math.max(...faults.map((fault) => fault.atMs + fault.forMs), startMs)
  }
  return planned.sort((a, b) => a.atMs - b.atMs)
}

function drawnFrom(step: Extract<Step, { kind: 'random' }>, startMs: number, random: () => number): PlannedFault[] {
  const count = Math.max(1, Math.floor(step.duringMs / step.everyMs))
  return Array.from({ length: count }, (_, nth) => ({
    atMs: startMs + nth * step.everyMs,
    forMs: step.forMs,
    draft: drawn(pick(step.kinds, random)!, random),
  }))
}
