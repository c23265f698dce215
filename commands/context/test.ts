import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { CliError } from '../../src/terminal/errors.js'
import { connectionFlags } from '../../src/terminal/flags.js'

export default class ContextTest extends BaseCommand {
  static override summary = 'Try a context stage by stage: name, TCP, TLS, gRPC, leader.'
  static override description =
    'Goes to every endpoint of the context and to every member that they tell of. Exits 0 when all answer and one leads, 3 when some do not, 5 when none does.'
  static override schema = 'raftctl.context.test/1'
  static override exitCodes = [3, 5, 7, 8, 9]
  static override examples = [
    '<%= config.bin %> context test',
    '<%= config.bin %> context test prod',
    '<%= config.bin %> context test --all',
  ]
  static override args = { name: Args.string({ ignoreStdin: true, description: 'the selected one when left out' }) }
  static override outputColumns = {
    CONTEXT: 'which one',
    NODE: 'name of the member, or the endpoint',
    DNS: 'its name resolves',
    TCP: 'its port takes connections, after how long',
    TLS: 'the handshake; - where the context uses none',
    GRPC: 'a raftctl node of the right cluster answers, after how long',
    PROBLEM: 'why the stage failed',
  }
  static override seeAlso = ['context add', 'status']
  static override flags = {
    all: Flags.boolean({ char: 'a', description: 'every context' }),
    timeout: connectionFlags.timeout,
    'connect-timeout': connectionFlags['connect-timeout'],
  }

  async run() {
    const { args, flags } = await this.parse(ContextTest)
    if (flags.all && args.name !== undefined)
      throw new CliError('E_USAGE', 'a NAME and --all exclude each other', { hint: 'Leave one out.' })
    const { testContexts } = await import('../../src/local/context-tests.js')
    const { verdictOf } = await import('../../src/admin/connection-test.js')
    const { printConnectionTests } = await import('../../src/terminal/connection-test-view.js')
    const contexts = await testContexts({
      name: args.name ?? null,
      all: flags.all === true,
      timeoutMs: flags.timeout,
      connectTimeoutMs: flags['connect-timeout'],
    })
    return this.result({ contexts }, (out) => printConnectionTests(out, contexts), verdictOf(contexts))
  }
}
