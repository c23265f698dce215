import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { wholeNumber } from '../../src/terminal/flags.js'

export default class LogGet extends ClusterCommand {
  static override summary = 'Show one entry of the log in full, and which members hold the same.'
  static override description =
    'Every member is asked. Two members that committed different entries at an index have diverged: exit 10. An uncommitted entry may differ; it will be replaced.'
  static override schema = 'raftctl.log.get/1'
  static override exitCodes = [5, 7, 8, 10]
  static override seeAlso = ['log show', 'check consistency']
  static override outputColumns = {
    NODE: 'member',
    HOLDS: 'same, other, missing (nothing there yet), compacted (cut off) or DOWN',
    TERM: 'term of what it holds there',
    STATE: 'committed, applied or uncommitted, as it knows',
  }
  static override examples = ['<%= config.bin %> log get 1284511', '<%= config.bin %> log get 12 --node n2 --json']
  static override args = { index: Args.string({ required: true, ignoreStdin: true, description: 'index of the entry' }) }
  static override flags = {
    node: Flags.string({ helpValue: '<member>', description: 'whose entry is shown (default: of the leader)' }),
  }

  async run() {
    const { args, flags } = await this.parse(LogGet)
    const index = wholeNumber(args.index, 1)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { getEntry } = await import('../../src/admin/log.js')
    const { printEntry } = await import('../../src/terminal/log-view.js')
    using client = new ClusterClient(connection)
    const { data, clusterId } = await getEntry(client, index, flags.node ?? null)
    return this.result(data, (out) => printEntry(out, data, Date.now()), { clusterId })
  }
}
