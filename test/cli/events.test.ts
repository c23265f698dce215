// timeout: 180s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { freePorts, LocalClusters, until } from '../support/local-clusters.js'
import { problemsOf, readSchema } from '../support/schemas.js'

const test = suite('events')
const home = new LocalClusters()
interface Event {
  readonly timeMs: number
  readonly node: string
  readonly seq: number
  readonly name: string
  readonly fields: Record<string, string>
}

test.before(async () => {
  const { exitCode, error } = await home.json(['cluster', 'start', '--base-port', String(await freePorts(3))])
  assert.is(exitCode, 0, error?.message)
})
test.after(() => home.remove())

const linesOf = (text: string): Event[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Event)
const leaderNow = async () => (await home.json(['status'])).data.leader as string

test('what happened on all members, in order of time, with the names of peers', async () => {
  const { data, exitCode } = await home.json(['events'])
  assert.is(exitCode, 0)
  const events = data.events as Event[]
  assert.equal(
    events.map((event) => event.timeMs),
    events.map((event) => event.timeMs).sort((a, b) => a - b),
  )
  assert.equal([...new Set(events.map((event) => event.node))].sort(), ['n1', 'n2', 'n3'])
  const won = events.find((event) => event.name === 'election.won')!
  assert.is(won.node, await leaderNow())
  const followed = events.filter((event) => event.name === 'leader.followed' && event.node !== won.node)
  assert.ok(followed.some((event) => event.fields.leader === won.node))
  const text = await home.run(['events', '--type', 'election.won'])
  assert.match(
    text.stdout,
    /^\d\d:\d\d:\d\d\.\d{3} {2}n[123] {2}election\.won +term=\d+ afterMs?=[\d.]+ms votes=[23]\/3$|^.*election\.won.*after=[\d.]+ms.*votes=[23]\/3/m,
  )
})

test('--type, --node and --since choose; an unknown member is exit 7, nobody at all exit 5', async () => {
  const elections = (await home.json(['events', '--type', 'election,leader.ready'])).data.events as Event[]
  assert.ok(elections.length > 0)
  assert.ok(elections.every(({ name }) => name.startsWith('election.') || name === 'leader.ready'))
  const ofOne = (await home.json(['events', '--node', 'n2'])).data.events as Event[]
  assert.equal([...new Set(ofOne.map((event) => event.node))], ['n2'])
  assert.equal((await home.json(['events', '--since', '1ms'])).data.events, [])
  const unknown = await home.json(['events', '--node', 'n9'])
  assert.equal([unknown.exitCode, unknown.error.code], [7, 'E_NO_SUCH_NODE'])
  const nobody = await home.json(['events', '-e', '127.0.0.1:1'])
  assert.equal([nobody.exitCode, nobody.error.code], [5, 'E_UNREACHABLE'])
})

test('-f tells of an election while members go away, and of a member that comes back, each event once', async () => {
  const following = home.spawn(['events', '-f', '--json'])
  const first = await leaderNow()
  // Before that it may not listen yet: a pause leaves no trace in what is told from now on.
  await until(() => following.child.pid !== undefined, 'the process')
  const settled = home.spawn(['events', '-f', '--since', '1h', '--json'])
  await until(() => linesOf(settled.stdout()).some((event) => event.name === 'election.won'), 'the history')
  assert.is((await home.json(['cluster', 'kill', first])).exitCode, 0)
  const won = () => linesOf(settled.stdout()).filter((event) => event.name === 'election.won' && event.node !== first)
  await until(() => won().length > 0, 'the election')
  assert.is((await home.json(['cluster', 'start'])).exitCode, 0)
  const back = () => linesOf(settled.stdout()).filter((event) => event.node === first && event.name === 'node.started')
  await until(() => back().length > 1, 'the one that came back')
  for (const one of [following, settled]) {
    one.child.kill('SIGINT')
    assert.is(await one.ended, 130, one.stderr())
  }
  const all = linesOf(settled.stdout())
  assert.is(new Set(all.map((event) => `${event.node} ${event.timeMs} ${event.seq} ${event.name}`)).size, all.length)
  assert.match(settled.stderr(), `${first} does not answer`)
  assert.match(settled.stderr(), `${first} answers`)
  for (const event of all)
    assert.equal(
      problemsOf({ schema: 'raftctl.event/1', ...event }).filter((one) => !one.includes('"schema"')),
      [],
    )
})

test('broken documents fail their schemas', async () => {
  const document = await home.json(['events', '--type', 'election.won'])
  const [event] = document.data.events
  assert.equal(problemsOf(document), [])
  assert.ok(problemsOf({ ...document, data: { events: [{ ...event, seq: 'one' }] } } as never).length > 0)
  const { node: _, ...nameless } = event
  assert.ok(problemsOf({ ...document, data: { events: [nameless] } } as never).length > 0)
  assert.equal((readSchema('event.schema.json').required as string[]).sort(), Object.keys(event).sort())
})

test.run()
