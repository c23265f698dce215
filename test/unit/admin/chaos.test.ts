// What is broken, whom it hits and when; what a scenario may say; how a run is judged.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { effectsOf } from '../../../src/admin/chaos/fault.js'
import { faultText } from '../../../src/admin/chaos/fault-text.js'
import { cast, drawn, partitionDraft, repeated, seeded } from '../../../src/admin/chaos/plan.js'
import { type Findings, reportOf } from '../../../src/admin/chaos/report.js'
import { KINDS, parseScenario, scheduleOf } from '../../../src/admin/chaos/scenario.js'
import { eventText } from '../../../src/admin/chaos/story.js'
import { twoLeaders } from '../../../src/admin/chaos/verification.js'
import { CliError } from '../../../src/terminal/errors.js'
import { refused } from '../../support/refused.js'
import { PROJECT } from '../../support/run-cli.js'

const test = suite('chaos')
const members = [1, 2, 3].map((n) => ({ id: `n${n}`, address: `127.0.0.1:700${n}` }))
const all = { members, free: members.map(({ id }) => id), leader: 'n2' }

const partition = (words: string[], oneWay = false) => cast(partitionDraft(words, { oneWay }), all, seeded(1))

test('a partition is typed as arguments or in quotes, against the rest or with a bridge', async () => {
  const twoSides = { kind: 'partition', groups: [['n1'], ['n2', 'n3']], oneWay: false }
  for (const words of [['n1', 'n2,n3'], ['n1 | n2,n3'], ['n1', '|', 'n2,n3'], ['n1']]) assert.equal(partition(words), twoSides)
  assert.equal(partition(['127.0.0.1:7001', 'n2,n3']), twoSides)
  assert.equal(partition(['leader']), { ...twoSides, groups: [['n2'], ['n1', 'n3']] })
  assert.equal(partition(['n1', 'n2']), { ...twoSides, groups: [['n1'], ['n2']] })
  assert.is((await refused(() => partition(['n1', 'n1,n2']))).code, 'E_USAGE')
  assert.is((await refused(() => partition(['|']))).code, 'E_USAGE')
  assert.is((await refused(() => partition(['n1', 'n2', 'n3'], true))).code, 'E_USAGE')
  assert.is((await refused(() => partition(['n9']))).code, 'E_NO_SUCH_NODE')
  assert.is(partition(['leader', 'n2']), null, 'the leader is on both sides')
})

test('a cut stands at both of its ends, one way in one direction', () => {
  const [n1, n2, n3] = members.map(({ address }) => address)
  const both = effectsOf({ kind: 'partition', groups: [['n1'], ['n2', 'n3']], oneWay: false }, members)
  assert.equal(Object.fromEntries(both), {
    [n1!]: [{ peers: [n2, n3], cut: { direction: 'both' } }],
    [n2!]: [{ peers: [n1], cut: { direction: 'both' } }],
    [n3!]: [{ peers: [n1], cut: { direction: 'both' } }],
  })
  const oneWay = effectsOf({ kind: 'partition', groups: [['n1'], ['n2']], oneWay: true }, members)
  assert.equal(Object.fromEntries(oneWay), {
    [n1!]: [{ peers: [n2], cut: { direction: 'out' } }],
    [n2!]: [{ peers: [n1], cut: { direction: 'in' } }],
  })
  assert.is(effectsOf({ kind: 'drop', node: null, percent: 10 }, members).size, 3)
})

test('parts are played by whoever can: a follower never leads, and nobody is hit twice', () => {
  for (let seed = 0; seed < 20; seed++) {
    const fault = cast({ kind: 'kill', who: 'follower' }, all, seeded(seed))
    assert.ok(fault?.kind === 'kill' && fault.node !== 'n2')
    assert.equal(cast({ kind: 'pause', who: 'random' }, { ...all, free: ['n3'] }, seeded(seed)), { kind: 'pause', node: 'n3' })
  }
  assert.is(cast({ kind: 'kill', who: 'leader' }, { ...all, leader: null }, seeded(1)), null)
  assert.is(cast({ kind: 'kill', who: 'random' }, { ...all, free: [] }, seeded(1)), null)
})

test('a fault comes once, or again and again', () => {
  const times = (options: Parameters<typeof repeated>[1]) => [...repeated({ kind: 'kill', who: 'random' }, options)].map(({ atMs }) => atMs)
  assert.equal(times({ forMs: 10, everyMs: null, times: null }), [0])
  assert.equal(times({ forMs: 10, everyMs: 100, times: 3 }), [0, 100, 200])
  const endless = repeated({ kind: 'kill', who: 'random' }, { forMs: 10, everyMs: 100, times: null })
  assert.equal(
    [1, 2, 3].map(() => endless.next().done),
    [false, false, false],
  )
})

test('one seed draws the same faults, another one others, and every kind can be drawn', () => {
  const kinds = KINDS.map((kind) => drawn(kind, seeded(3)).kind)
  assert.equal(kinds, [...KINDS])
  const draws = (seed: number) => JSON.stringify(KINDS.map((kind) => drawn(kind, seeded(seed))))
  assert.is(draws(7), draws(7))
  assert.is.not(draws(7), draws(8))
})

const schema = new Ajv2020({ strict: true, strictTypes: false, allErrors: true }).compile(
  JSON.parse(readFileSync(join(PROJECT, 'schemas', 'chaos-scenario.json'), 'utf8')),
)

test('every example is a scenario, by the reader and by the schema', async () => {
  const folder = join(PROJECT, 'examples', 'chaos')
  const files = readdirSync(folder)
  assert.ok(files.length >= 3)
  for (const file of files) {
    const text = readFileSync(join(folder, file), 'utf8')
    assert.ok(schema(parse(text)), `${file}: ${JSON.stringify(schema.errors)}`)
    const scenario = await parseScenario(text, file)
    const faults = scheduleOf(scenario, 7)
    assert.equal(faults, scheduleOf(scenario, 7))
    assert.ok(faults.length >= 4 && faults.every(({ atMs, forMs }) => atMs >= 0 && forMs > 0))
  }
  const anything = await parseScenario(readFileSync(join(folder, 'anything.yaml'), 'utf8'), 'anything.yaml')
  assert.is.not(JSON.stringify(scheduleOf(anything, 7)), JSON.stringify(scheduleOf(anything, 8)))
})

test('without a time a step begins a second after the one before has healed', async () => {
  const text =
    'steps:\n  - { what: kill, who: n1, for: 4s }\n  - { what: pause, who: n2, for: 2s }\n  - { what: drop, pct: 5, when: 1s, for: 1s }\n'
  const planned = scheduleOf(await parseScenario(text, 'x.yaml'), 1)
  assert.equal(
    planned.map(({ atMs, forMs, draft }) => [atMs, forMs, draft.kind]),
    [
      [0, 4000, 'kill'],
      [1000, 1000, 'drop'],
      [5000, 2000, 'pause'],
    ],
  )
})

/** What is wrong, and where. */
const BROKEN: readonly (readonly [string, string, RegExp])[] = [
  ['steps:\n  - what: kil\n    who: leader\n', '2:11', /"kil" is not a kind of fault/],
  ['steps:\n  - what: kill\n', '2:5', /a step needs "who"/],
  ['steps:\n  - what: kill\n    who: n1\n    ms: 3\n', '4:9', /kill takes no "ms"/],
  ['steps:\n  - what: kill\n    who: n1\n    whn: 3s\n', '4:5', /no field "whn"/],
  ['steps:\n  - what: kill\n    who: n1\n    for: 30\n', '4:10', /"for" is a duration, not 30/],
  ['steps:\n  - what: kill\n    who: n1\n    for: 61m\n', '4:10', /at most an hour/],
  ['steps:\n  - what: drop\n    pct: 101\n', '3:10', /from 0 to 100, not 101/],
  ['steps:\n  - what: delay\n    who: n1\n', '2:5', /needs "ms"/],
  ['steps:\n  - what: disk-full\n    who: n1\n    free: lots\n', '4:11', /a size, not "lots"/],
  ['steps:\n  - what: partition\n    who: []\n', '3:10', /names nobody/],
  ['steps:\n  - random:\n      kinds: [kill, sleep]\n', '3:21', /"sleep" is not a kind/],
  ['steps: []\n', '1:8', /there is no step/],
  ['name: 7\nsteps:\n  - { what: kill, who: n1 }\n', '1:7', /"name" is a word, not 7/],
  ['steps:\n  - what: kill\n  who: n1\n', '3:1', /column/],
  ['', '1:1', /a scenario is a map/],
]

test('what is not understood is told by its place, with how to mend it, and is not in the schema either', async () => {
  for (const [text, place, what] of BROKEN) {
    const error = await refused(() => parseScenario(text, 'x.yaml'))
    assert.is(error.code, 'E_CONFIG')
    assert.ok(error.message.startsWith(`x.yaml:${place}: `), error.message)
    assert.match(error.message, what)
    assert.ok(error.hint.length > 5, error.message)
    if (place !== '3:1' && !what.source.includes('hour')) assert.not.ok(schema(parse(text)), text)
  }
})

const SOUND: Findings = {
  scenario: null,
  seed: null,
  faults: [],
  story: [],
  writes: { acknowledged: 2, refused: 1, unknown: 1, longestPauseMs: 10, verified: 2, lost: [], refusedButThere: [] },
  history: { verdict: 'linearizable', keys: 1, operations: 5, unknown: 0, problem: null },
  convergence: { converged: true, afterMs: 10, missing: null, leader: 'n1', term: 3 },
  agreement: { index: 9, equal: 3, different: 0, unknown: 0 },
  doubleLeaders: null,
  problem: null,
  diverged: null,
}

test('whatever was not held breaks the verdict, and without a writer nothing is proved', () => {
  assert.is(reportOf(SOUND).report.verdict, 'held')
  assert.is(reportOf({ ...SOUND, writes: null, history: null }).report.verdict, 'unproved')
  const writes = SOUND.writes!
  const flaws: Partial<Findings>[] = [
    { writes: { ...writes, lost: [{ key: 'k', acknowledged: '1', found: null }] } },
    { writes: { ...writes, refusedButThere: ['k'] } },
    { history: { ...SOUND.history!, verdict: 'violation', problem: 'k: no order' } },
    { convergence: { ...SOUND.convergence, converged: false, missing: 'n2 does not answer' } },
    { doubleLeaders: 'term 3 was won by n1 and by n2' },
    { problem: 'no leader' },
    { diverged: new CliError('E_DIVERGED', 'n3 holds another state') },
  ]
  for (const flaw of flaws) {
    const { report, error } = reportOf({ ...SOUND, ...flaw })
    assert.equal([report.verdict, report.broken.length], ['broken', 1], JSON.stringify(flaw))
    assert.is(error?.code ?? null, flaw.diverged ? 'E_DIVERGED' : null)
  }
  assert.is(reportOf({ ...SOUND, history: { ...SOUND.history!, verdict: 'undecided', problem: 'too many' } }).report.verdict, 'held')
})

test('two winners of one term are found, one that wins twice is not', () => {
  assert.is(
    twoLeaders([
      { term: 3, node: 'n1' },
      { term: 4, node: 'n2' },
      { term: 3, node: 'n1' },
    ]),
    null,
  )
  assert.match(
    twoLeaders([
      { term: 3, node: 'n1' },
      { term: 3, node: 'n2' },
    ]) ?? '',
    'term 3 was won by n1 and by n2',
  )
})

test('the story tells what a person would ask about, and nothing else', () => {
  const event = (name: string, fields: Record<string, string>) => ({ timeMs: 0, node: 'n1', seq: 1, group: 'kv', name, fields })
  assert.is(eventText(event('election.won', { term: '4' }), 241), 'n1 elected after 241 ms (term 4)')
  const stepped = { from: 'LEADER', to: 'FOLLOWER', reason: 'ERAFTTIMEDOUT: a quorum has not answered for an election timeout' }
  assert.is(eventText(event('state.changed', stepped), 1500), 'n1 stepped down after 1.5 s (check-quorum)')
  assert.is(eventText(event('state.changed', { ...stepped, from: 'CANDIDATE' }), 1500), null)
  assert.is(eventText(event('vote.granted', {}), 1500), null)
})

test('a fault in words', () => {
  assert.is(faultText({ kind: 'partition', groups: [['n1'], ['n2', 'n3']], oneWay: false }), 'partition {n1}|{n2,n3}')
  assert.is(faultText({ kind: 'partition', groups: [['n1'], ['n2', 'n3']], oneWay: true }), 'partition {n1} ↛ {n2,n3}')
  assert.is(faultText({ kind: 'delay', node: 'n1', delayMs: 200, jitterMs: 50 }), 'delay n1 by 200 ms ± 50 ms')
  assert.is(faultText({ kind: 'skew', node: 'n1', aheadMs: 2000, rate: 1.5 }), 'skew n1 2 s ahead, 1.5 times as fast')
  assert.is(faultText({ kind: 'disk-full', node: 'n1', freeBytes: 16_000_000 }), 'disk of n1 full but for 16 MB')
})

test.run()
