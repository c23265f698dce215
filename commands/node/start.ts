import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { CliError, ERRORS } from '../../src/terminal/errors.js'
import type { Result } from '../../src/terminal/result.js'

export default class NodeStart extends BaseCommand {
  static override summary = 'Run a node in this process until it is stopped.'
  static override description =
    'The members of a new group name each other with --peers; on a directory that has been used it says nothing new. Logs are JSON lines on stderr.'
  static override schema = 'raftctl.node.start/1'
  static override exitCodes = [6, 8, 10, 130, 143]
  static override examples = [
    '<%= config.bin %> node start --listen 127.0.0.1:7001 --data ./n1',
    '<%= config.bin %> node start --name n1 --listen 127.0.0.1:7001 --peers 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --names n1,n2,n3 --data ./n1',
  ]
  static override flags = {
    name: Flags.string({ helpValue: '<name>', description: 'what this member is called' }),
    listen: Flags.string({ required: true, helpValue: '<host:port>', description: 'where this node listens; the one port for everything' }),
    advertise: Flags.string({ helpValue: '<host:port>', description: 'where the others find it (default: --listen)' }),
    peers: Flags.string({ helpValue: '<host:port,…>', description: 'every member of a new group, this one among them' }),
    names: Flags.string({ helpValue: '<name,…>', description: 'what they are called, in the same order' }),
    data: Flags.string({ required: true, helpValue: '<directory>', description: 'where the log and everything else is kept' }),
    'cluster-id': Flags.string({ helpValue: '<hex>', description: '128 bits in hex (default: derived from the founders)' }),
    'bootstrap-token': Flags.string({ helpValue: '<text>', description: 'makes the derived cluster id your own' }),
    join: Flags.boolean({ description: 'wait to be added to a running group' }),
    group: Flags.string({ char: 'g', default: 'kv', helpValue: '<name>', description: 'Raft group' }),
    'election-timeout': Flags.string({
      default: '1000ms',
      helpValue: '<duration>',
      description: 'silence after which a new leader is sought',
    }),
    'enable-faults': Flags.boolean({ description: 'let chaos and tests break this node on purpose' }),
    'log-level': Flags.string({ default: 'info', helpValue: '<level>', description: 'trace, debug, info, warn, error, fatal or silent' }),
    'log-file': Flags.string({ helpValue: '<file>', description: 'where the log goes (default: stderr)' }),
  }

  /** The node hands over and stops by itself. */
  protected override get endsOnSignal(): boolean {
    return false
  }

  override async run(): Promise<Result> {
    const { flags } = await this.parse(NodeStart)
    const { runNode, StartError } = await import('../../src/server/run-node.js')
    const { 'cluster-id': clusterId, 'bootstrap-token': bootstrapToken, 'election-timeout': electionTimeout } = flags
    const { 'enable-faults': enableFaults, 'log-level': logLevel, 'log-file': logFile, ...plain } = flags
    const nodeFlags = { ...plain, clusterId, bootstrapToken, electionTimeout, enableFaults, logLevel, logFile }
    try {
      const run = await runNode(nodeFlags, { exitCodeOf: (code) => ERRORS[code].exitCode })
      return this.result(run, (out) => out.line(`${run.name} stopped (${run.reason})`))
    } catch (error) {
      if (error instanceof StartError) throw new CliError(error.code, error.message, { hint: error.hint, cause: error })
      throw error
    }
  }
}
