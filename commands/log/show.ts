import { Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { logFilterFlags, logRange, logRangeFlags } from '../../src/terminal/log-flags.js'
import { LOG_COLUMNS } from '../../src/terminal/log-view.js'

export default class LogShow extends ClusterCommand {
  static override summary = 'Show entries of the replicated log: what is committed, and what is not yet.'
  static override description =
    'Read from the leader, or from any member that answers. Entries that are not committed say so: they may still be replaced. Exits 3 when filters leave nothing, 7 when the range was cut off or is not there yet.'
  static override schema = 'raftctl.log.show/1'
  static override exitCodes = [3, 5, 7, 8]
  static override seeAlso = ['log get', 'log tail', 'log stats', 'data log']
  static override outputColumns = LOG_COLUMNS
  static override examples = [
    '<%= config.bin %> log show',
    '<%= config.bin %> log show --from 100 --to 200',
    { description: 'Every change of the members', command: '<%= config.bin %> log show --type config --last 100' },
    { description: 'The log of one member', command: '<%= config.bin %> log show --node n2 --grep hello' },
  ]
  static override flags = {
    ...logRangeFlags,
    node: Flags.string({ helpValue: '<member>', description: 'whose log (default: the leader, else who knows most)' }),
    ...logFilterFlags,
    committed: Flags.boolean({ description: 'only entries that are committed' }),
  }

  async run() {
    const { flags } = await this.parse(LogShow)
    const range = logRange(flags)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { showLog } = await import('../../src/admin/log.js')
    const { logFilter } = await import('../../src/admin/entry-decoders.js')
    const { isFiltering } = await import('../../src/admin/entry-summary.js')
    const { printLog } = await import('../../src/terminal/log-view.js')
    const filter = logFilter(flags)
    using client = new ClusterClient(connection)
    const options = { ...range, node: flags.node ?? null, filter, hex: flags.raw === 'hex', committedOnly: flags.committed }
    const { data, clusterId, warnings } = await showLog(client, options)
    const exitCode = isFiltering(filter) && data.entries.length === 0 ? 3 : 0
    return this.result(data, (out) => printLog(out, data.entries, Date.now()), { exitCode, clusterId, warnings })
  }
}
