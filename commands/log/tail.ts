import { Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'
import { logFilterFlags } from '../../src/terminal/log-flags.js'
import { LOG_COLUMNS } from '../../src/terminal/log-view.js'

export default class LogTail extends ClusterCommand {
  static override summary = 'Show the newest entries of the log, and with -f follow it through changes of leaders.'
  static override description =
    'Committed entries come in order, each once: when the member that is read goes away or no longer leads, it goes on at the next index on another. With --uncommitted entries come as soon as they are stored; one that is replaced later by a newer term comes again and says which term it replaces. With --json one line is one entry.'
  static override schema = 'raftctl.log.tail/1'
  static override exitCodes = [3, 5, 7, 8, 130]
  static override seeAlso = ['log show', 'events']
  static override outputColumns = LOG_COLUMNS
  static override examples = [
    '<%= config.bin %> log tail -f',
    '<%= config.bin %> log tail -f --from 1 --json',
    { description: 'Also what may still be replaced', command: '<%= config.bin %> log tail -f --uncommitted' },
  ]
  static override flags = {
    follow: Flags.boolean({ char: 'f', description: 'go on until interrupted' }),
    last: wholeNumberFlag({ description: 'begin with the newest <n> (default 10)' }),
    from: wholeNumberFlag({ min: 1, description: 'begin with this index', exclusive: ['last'] }),
    uncommitted: Flags.boolean({ description: 'also entries that are not committed yet' }),
    node: Flags.string({ helpValue: '<member>', description: 'read this member only' }),
    ...logFilterFlags,
  }

  async run() {
    const { flags } = await this.parse(LogTail)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { logFilter } = await import('../../src/admin/entry-decoders.js')
    const { isFiltering } = await import('../../src/admin/entry-summary.js')
    const { printTailLine } = await import('../../src/terminal/log-view.js')
    const options = { from: flags.from ?? null, last: flags.last ?? 10, node: flags.node ?? null, filter: logFilter(flags) }
    using client = new ClusterClient(connection)
    if (flags.follow) {
      const { LogTail: Tail } = await import('../../src/admin/log-tail.js')
      using tail = new Tail(client, { ...options, uncommitted: flags.uncommitted }, this.interrupted, (text) => this.out.detail(text))
      return await this.stream([], tail.rows(), (row, out) => printTailLine(out, row))
    }
    const { showLog } = await import('../../src/admin/log.js')
    const { data, clusterId, warnings } = await showLog(client, {
      ...options,
      to: null,
      last: Math.max(1, options.last),
      hex: false,
      committedOnly: !flags.uncommitted,
    })
    const exitCode = isFiltering(options.filter) && data.entries.length === 0 ? 3 : 0
    return this.result(data, (out) => data.entries.forEach((row) => printTailLine(out, { ...row, replaces: null })), {
      exitCode,
      clusterId,
      warnings,
    })
  }
}
