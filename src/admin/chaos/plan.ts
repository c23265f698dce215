import { CliError } from '../../terminal/errors.js'
import { type ChaosFault, type ChaosKind, type Target, targetOf, type Who } from './fault.js'

/** Who a step is about: a name, or a part that somebody plays when it begins. */
export type Part = 'leader' | 'follower' | 'random' | { readonly name: Who }

/** A fault before it is known whom it hits. */
export type FaultDraft =
  | { readonly kind: 'partition'; readonly groups: readonly (readonly Part[])[]; readonly oneWay: boolean }
  | { readonly kind: 'drop'; readonly who: Part | null; readonly percent: number }
  | { readonly kind: 'kill' | 'pause'; readonly who: Part }
  | { readonly kind: 'delay' | 'slow-disk'; readonly who: Part; readonly delayMs: number; readonly jitterMs: number }
  | { readonly kind: 'skew'; readonly who: Part; readonly aheadMs: number; readonly rate: number }
  | { readonly kind: 'disk-full'; readonly who: Part; readonly freeBytes: number }

/** A fault at its time. */
export interface PlannedFault {
  /** Since the run began. */
  readonly atMs: number
  readonly forMs: number
  readonly draft: FaultDraft
}

/** Draws numbers in [0, 1), the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export function pick<T>(choices: readonly T[], random: () => number): T | null {
  return choices.length === 0 ? null : choices[Math.floor(random() * choices.length)]!
}

/** `leader`, `follower`, `random`, or the name or address of a member. */
export function partOf(word: string): Part {
  return word === 'leader' || word === 'follower' || word === 'random' ? word : { name: word }
}

/**
 * The groups of a partition as they are typed: each argument is a group (`n1 n2,n3`), or one quoted argument holds them all
 * (`'n1 | n2,n3'`). A single group stands against everybody else. Throws E_USAGE.
 */
export function partitionDraft(words: readonly string[], { oneWay }: { readonly oneWay: boolean }): FaultDraft {
  const groups = words
    .join(' ')
    .split(/[|\s]+/)
    .map((word) => word.split(',').filter((who) => who !== ''))
    .filter((group) => group.length > 0)
  const names = groups.flat().filter((who) => typeof partOf(who) === 'object')
  const twice = names.find((who, at) => names.indexOf(who) !== at)
  if (twice !== undefined) throw partitionError(`${twice} stands in the partition twice`)
  if (groups.length === 0) throw partitionError('no group was named')
  if (oneWay && groups.length > 2) throw partitionError(`one way is from one group to one other, not between ${groups.length}`)
  return { kind: 'partition', groups: groups.map((group) => group.map(partOf)), oneWay }
}

function partitionError(message: string): CliError {
  return new CliError('E_USAGE', message, { hint: "Write the groups as arguments:  raftctl chaos partition n1 n2,n3   (or 'n1 | n2,n3')" })
}

/** Who is there to be broken. */
export interface Cast {
  readonly members: readonly Target[]
  /** Who answers, and whose process is not broken already: of these somebody is drawn. */
  readonly free: readonly Who[]
  readonly leader: Who | null
}

/** Makes a fault of a draft; null when nobody plays the part now. Throws E_NO_SUCH_NODE. */
export function cast(draft: FaultDraft, { members, free, leader }: Cast, random: () => number): ChaosFault | null {
  const one = (part: Part, taken: readonly Who[] = []): Who | null => {
    if (typeof part === 'object') return targetOf(part.name, members).id
    if (part === 'leader') return leader !== null && taken.includes(leader) ? null : leader
    const left = free.filter((who) => !taken.includes(who))
    return pick(part === 'follower' ? left.filter((who) => who !== leader) : left, random)
  }
  if (draft.kind === 'partition') return castPartition(draft, members, one)
  if (draft.kind === 'drop' && draft.who === null) return { kind: 'drop', node: null, percent: draft.percent }
  const node = one(draft.who!)
  if (node === null) return null
  const { who: _, ...rest } = draft
  return { ...rest, node } as ChaosFault
}

function castPartition(
  draft: Extract<FaultDraft, { kind: 'partition' }>,
  members: readonly Target[],
  one: (part: Part, taken: readonly Who[]) => Who | null,
): ChaosFault | null {
  const taken: Who[] = []
  const groups = draft.groups.map((parts) =>
    parts.flatMap((part) => {
      const who = one(part, taken)
      if (who === null || taken.includes(who)) return []
      taken.push(who)
      return [who]
    }),
  )
  if (groups.length === 1) groups.push(members.map(({ id }) => id).filter((who) => !taken.includes(who)))
  return groups.some((group) => group.length === 0) ? null : { kind: 'partition', groups, oneWay: draft.oneWay }
}

/** One fault, again and again `everyMs`; null times: for ever. */
export function* repeated(
  draft: FaultDraft,
  { forMs, everyMs, times }: { readonly forMs: number; readonly everyMs: number | null; readonly times: number | null },
): Generator<PlannedFault> {
  const count = times ?? (everyMs === null ? 1 : Number.POSITIVE_INFINITY)
  for (let nth = 0; nth < count; nth++) yield { atMs: nth * (everyMs ?? 0), forMs, draft }
}

/** A kind with values that hurt without ending everything, drawn. */
export function drawn(kind: ChaosKind, random: () => number): FaultDraft {
  const between = (least: number, most: number) => Math.round(least + random() * (most - least))
  switch (kind) {
    case 'kill':
    case 'pause':
      return { kind, who: 'random' }
    case 'partition':
      return { kind, groups: [['random']], oneWay: random() < 0.3 }
    case 'delay':
      return { kind, who: 'random', delayMs: between(50, 500), jitterMs: between(0, 50) }
    case 'drop':
      return { kind, who: 'random', percent: between(5, 50) }
    case 'skew':
      return { kind, who: 'random', aheadMs: between(500, 5000), rate: between(5, 20) / 10 }
    case 'disk-full':
      return { kind, who: 'random', freeBytes: between(1, 16) * 1_000_000 }
    case 'slow-disk':
      return { kind, who: 'random', delayMs: between(10, 200), jitterMs: between(0, 20) }
  }
}
