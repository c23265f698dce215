// timeout: 180s
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CliHome } from '../support/run-cli.js'
import { eventually, freePorts } from './node-cluster.js'

const EXAMPLE = fileURLToPath(new URL('../../examples/replicated-counter.js', import.meta.url))

const test = suite('the library, in three processes')

/** A process of the example, spoken to line by line. */
class ExampleMember {
  private child: ChildProcessWithoutNullStreams | null = null
  private lines: AsyncIterator<string> | null = null
  private ended: Promise<number | null> = Promise.resolve(null)
  private problems = ''

  constructor(
    readonly address: string,
    private readonly addresses: readonly string[],
    private readonly directory: string,
  ) {}

  start(): void {
    const child = spawn(process.execPath, [EXAMPLE, this.address, this.addresses.join(','), this.directory])
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.problems += text
    })
    child.stdin.on('error', () => {})
    this.child = child
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    this.ended = new Promise((resolve) => child.once('close', resolve))
  }

  async line(): Promise<string> {
    const { value, done } = await this.lines!.next()
    assert.not(done, `${this.address} ended: ${this.problems}`)
    return value
  }

  ask(line: string): Promise<string> {
    this.child!.stdin.write(`${line}\n`)
    return this.line()
  }

  /** No more lines: it stops by itself. */
  async stop(): Promise<number | null> {
    this.child!.stdin.end()
    return this.ended
  }

  async kill(): Promise<void> {
    this.child?.kill('SIGKILL')
    await this.ended
  }
}

/** Adds through whichever of them leads, and answers which that was. */
async function added(members: readonly ExampleMember[], amount: number): Promise<ExampleMember> {
  let leader: ExampleMember | null = null
  await eventually('somebody adds', async () => {
    for (const member of members) {
      const answer = await member.ask(`${amount}`)
      if (answer === 'added') leader = member
      else assert.match(answer, /^not the leader, that is (nobody|127\.0\.0\.1:\d+)$/)
      if (leader) return true
    }
    return false
  })
  return leader!
}

test('the example goes on without its leader, which comes back from its snapshot and is level', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'raftctl-example-'))
  const home = new CliHome()
  const addresses = (await freePorts(3)).map((port) => `127.0.0.1:${port}`)
  const members = addresses.map((address, i) => new ExampleMember(address, addresses, join(directory, `c${i + 1}`)))
  try {
    for (const member of members) member.start()
    for (const member of members) assert.is(await member.line(), 'ready')
    const leader = await added(members, 40)
    assert.is(await leader.ask('many'), 'a number, "snapshot", or nothing')
    assert.match(await leader.ask('snapshot'), /^snapshot at \d+$/)
    const status = await home.run(['status', '--endpoint', addresses.join(), '--group', 'counter', '--json'])
    assert.is(status.exitCode, 0, status.stderr)
    const { verdict, nodes } = JSON.parse(status.stdout).data
    assert.is(verdict, 'healthy')
    assert.is(nodes.length, 3)

    await leader.kill()
    const rest = members.filter((member) => member !== leader)
    await added(rest, 2)
    for (const member of rest) assert.is(await member.ask(''), '42')

    leader.start()
    assert.is(await leader.line(), 'ready')
    await eventually('it reads what was added without it', async () => (await leader.ask('')) === '42')
    for (const member of members) assert.is(await member.stop(), 0)
  } finally {
    for (const member of members) await member.kill()
    home.remove()
    rmSync(directory, { recursive: true, force: true })
  }
})

test.run()
