import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { CliError, ERRORS } from '../../src/terminal/errors.js'
import type { Result } from '../../src/terminal/result.js'

export default class NodeStart extends BaseCommand {
  static override summary = 'Run a node in this process until it is stopped.'
  static override description =
    'The members of a new group name each other with --peers. Who comes later names any of them with --join, and takes part once `member add` has added it. Both count on an empty directory only. Logs are JSON lines on stderr.'
  static override schema = 'raftctl.node.start/1'
  static override exitCodes = [6, 8, 10, 130, 143]
  static override examples = [
    '<%= config.bin %> node start --listen 127.0.0.1:7001 --data ./n1',
    '<%= config.bin %> node start --name n1 --listen 127.0.0.1:7001 --peers 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --names n1,n2,n3 --data ./n1',
    {
      description: 'The counter of braft, for its own client',
      command: '<%= config.bin %> node start --listen 127.0.0.1:8100 --group Counter=counter --data ./c1',
    },
    {
      description: 'A member that is to be added to a running cluster',
      command: '<%= config.bin %> node start --name n4 --listen 127.0.0.1:7004 --join 127.0.0.1:7001 --data ./n4',
    },
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
    join: Flags.string({ helpValue: '<host:port,…>', description: 'members of the running cluster that will add this one' }),
    rebuild: Flags.boolean({ description: 'this member lost its directory: fetch everything anew, vote only after that' }),
    moved: Flags.boolean({ description: 'the directory is of this member at another address; then: raftctl member set NAME --address' }),
    adopt: Flags.boolean({ description: 'take over a directory that braft wrote last; once, at the first start on it' }),
    group: Flags.string({
      char: 'g',
      default: 'kv',
      helpValue: '<name=machine>',
      description: 'Raft group, and what it runs: kv (default), counter, atomic or block',
    }),
    'election-timeout': Flags.string({
      default: '1000ms',
      helpValue: '<duration>',
      description: 'silence after which a new leader is sought',
    }),
    'snapshot-interval': Flags.string({
      default: '1h',
      helpValue: '<duration>',
      description: 'how often a snapshot is taken; 0 on demand only',
    }),
    'snapshot-max-rate': Flags.string({
      helpValue: '<bytes/s>',
      description: 'how fast a snapshot may be sent or fetched, such as 50MB/s',
    }),
    'snapshot-max-copies': Flags.string({
      helpValue: '<count>',
      description: 'how many snapshots are fetched at a time, of all groups together (default: 1000)',
    }),
    'unsafe-sync': Flags.string({
      helpValue: '<bytes|never>',
      description: 'acknowledge before the disk holds it: synced after so many bytes, or never; power loss then loses writes',
    }),
    checksum: Flags.option({ options: ['crc32c', 'murmur32'] as const, default: 'crc32c' })({
      description: 'of new log entries; murmur32 as braft writes it where its processor has no CRC',
    }),
    'leader-lease': Flags.boolean({ description: 'let the leader answer `kv get --read lease` by its clock; all members alike' }),
    'max-clock-drift': Flags.string({
      helpValue: '<duration>',
      description: 'how far two clocks may drift apart in an election timeout (default: a tenth of it)',
    }),
    priority: Flags.string({
      helpValue: '<0-1000>',
      description: 'of the members that are well the highest leads; 0 never campaigns by itself (default: 100)',
    }),
    witness: Flags.boolean({ description: 'vote and acknowledge entries, but hold no data; in --peers a witness is HOST:PORT:0:1' }),
    'witness-to-leader': Flags.boolean({
      description: 'let a witness lead while it brings up a member with data, and send it entries whole; all members alike',
    }),
    mixed: Flags.boolean({ description: 'let braft nodes be members of the group' }),
    transport: Flags.string({
      default: 'grpc',
      helpValue: '<protocol>',
      description: 'what it speaks to the other members: grpc or baidu_std; it listens to both',
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
    const { adoptionProblem } = await import('../../src/admin/adoption.js')
    const { 'cluster-id': clusterId, 'bootstrap-token': bootstrapToken, 'election-timeout': electionTimeout } = flags
    const { 'snapshot-interval': snapshotInterval, 'snapshot-max-rate': snapshotMaxRate, 'enable-faults': enableFaults } = flags
    const { 'snapshot-max-copies': snapshotMaxCopies, 'unsafe-sync': unsafeSync } = flags
    const { 'leader-lease': leaderLease, 'max-clock-drift': maxClockDrift } = flags
    const { 'log-level': logLevel, 'log-file': logFile, 'witness-to-leader': witnessToLeader, ...plain } = flags
    const nodeFlags = {
      ...plain,
      clusterId,
      bootstrapToken,
      electionTimeout,
      snapshotInterval,
      snapshotMaxRate,
      snapshotMaxCopies,
      unsafeSync,
      leaderLease,
      maxClockDrift,
      witnessToLeader,
      enableFaults,
      logLevel,
      logFile,
    }
    try {
      const run = await runNode(nodeFlags, { exitCodeOf: (code) => ERRORS[code].exitCode, adoptionProblem })
      return this.result(run, (out) => out.line(`${run.name} stopped (${run.reason})`))
    } catch (error) {
      if (error instanceof StartError) throw new CliError(error.code, error.message, { hint: error.hint, cause: error })
      throw error
    }
  }
}
