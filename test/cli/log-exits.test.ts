import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type FakeNode, fakeCluster } from '../support/fake-control.js'
import { oneOf, recordAt, serveLogs } from '../support/fake-logs.js'
import type { Document } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('log exits')
const home = new CliHome('warm')
let nodes: FakeNode[] = []

test.before.each(async () => {
  nodes = await fakeCluster()
  serveLogs(nodes)
})
test.after.each(() => {
  for (const node of nodes) node.close()
})
test.after(() => home.remove())

const one = (...args: string[]) => oneOf(home, nodes[1]!.address, args)

test('nobody answers: exit 5. No such member: exit 7. Another cluster: exit 8. Wrong words: exit 2', async () => {
  for (const words of [['show'], ['get', '20'], ['tail'], ['stats']]) {
    assert.is((await oneOf(home, '127.0.0.1:1', words)).exitCode, 5, words[0])
    const nobody = await one(...words, '--node', 'n9')
    assert.equal([nobody.exitCode, nobody.error.code], [7, 'E_NO_SUCH_NODE'])
  }
  assert.is((await home.run(['log', 'tail', '-f', '-e', '127.0.0.1:1'])).exitCode, 5)
  assert.is((await one('get', 'x')).exitCode, 2)
  assert.is((await one('show', '--type', 'puts')).exitCode, 2)
  assert.is((await one('tail', '--last', '2', '--from', '3')).exitCode, 2)
  assert.is((await one('stats', '--nod', 'n1')).exitCode, 2)
  nodes[1]!.clusterId = 'ffff0000ffff0000ffff0000ffff0000'
  for (const words of [['show'], ['get', '20'], ['tail'], ['stats']]) assert.is((await one(...words)).exitCode, 8, words[0])
})

test('a document that was broken on purpose does not pass its schema', async () => {
  for (const words of [['show'], ['get', '20'], ['tail'], ['stats']]) {
    for (const node of nodes) node.stats = { first_index: 1, last_index: 2, entries: 2, bytes: 60, segments: 1, largest: [recordAt(20)] }
    const document = await one(...words)
    const { node, ...rest } = document.data
    const broken: Document[] = [
      { ...document, data: { ...document.data, node: 7 } },
      { ...document, data: rest },
    ]
    for (const one of broken) assert.ok(problemsOf(one).length > 0, `${words[0]} ${node}`)
  }
})

test.run()
