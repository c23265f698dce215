import { ClusterCommand } from '../../src/terminal/cluster-command.js'

export default class CheckConsistency extends ClusterCommand {
  static override summary = 'Compare the state of all members at one place in the log.'
  static override description =
    'A mark is put into the log; each member hashes the whole state of its machine as of that mark, once it has applied it. Writes go on. A member that cannot be asked is unknown, never equal: exit 11. When states differ the odd one out is named by majority: exit 10.'
  static override schema = 'raftctl.check.consistency/1'
  static override exitCodes = [4, 5, 6, 7, 8, 10, 11, 13]
  static override seeAlso = ['status', 'snapshot verify', 'data verify']
  static override outputColumns = {
    NODE: 'name of the member, or its address',
    STATE: 'equal, DIFFERENT from the majority, or UNKNOWN',
    HASH: 'the beginning of the SHA-256 of its state at the mark; SHA256, with --wide, is all of it',
    KEYS: 'keys that exist there',
    REASON: 'why it is unknown',
  }
  static override examples = [
    '<%= config.bin %> check consistency',
    { description: 'Give a large state more time to be hashed', command: '<%= config.bin %> check consistency --timeout 2m' },
    { description: 'Who differs, for a script', command: '<%= config.bin %> check consistency --json --field members[].verdict' },
  ]

  async run() {
    const { flags } = await this.parse(CheckConsistency)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { checkConsistency } = await import('../../src/admin/consistency.js')
    const { printConsistency } = await import('../../src/terminal/consistency-view.js')
    using client = new ClusterClient(connection)
    const { report, clusterId, error } = await checkConsistency(client)
    return this.result(report, (out) => printConsistency(out, report), { clusterId, error })
  }
}
