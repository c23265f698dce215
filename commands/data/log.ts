import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { logFilterFlags, logRange, logRangeFlags } from '../../src/terminal/log-flags.js'
import { LOG_COLUMNS } from '../../src/terminal/log-view.js'

export default class DataLog extends BaseCommand {
  static override summary = 'Show entries of the log in a data directory, whether its node runs or not.'
  static override description =
    'What is on disk; whether an entry is committed is not known there. Reads only; directories of braft too. Exits 3 when filters leave nothing, 7 when the range is not there.'
  static override schema = 'raftctl.data.log/1'
  static override exitCodes = [3, 6, 7, 10]
  static override seeAlso = ['data inspect', 'data verify']
  static override outputColumns = LOG_COLUMNS
  static override examples = [
    '<%= config.bin %> data log /var/lib/raft/n1',
    '<%= config.bin %> data log ./data --from 100 --to 200 --type config',
    { description: 'A directory of the counter example of braft', command: '<%= config.bin %> data log ./data --decode counter' },
  ]
  static override args = { dir: Args.string({ required: true, ignoreStdin: true, description: 'the data directory of a node' }) }
  static override flags = {
    ...logRangeFlags,
    ...logFilterFlags,
    decode: Flags.option({ options: ['auto', 'kv', 'counter', 'atomic', 'block', 'none'] as const, default: 'auto' })({
      helpValue: '<machine>',
      description: 'whose commands they are: kv, counter, atomic, block or none (default: as a directory of raftctl says)',
    }),
    group: Flags.string({ char: 'g', helpValue: '<name>', description: 'of this Raft group (default: the first)' }),
  }

  async run() {
    const { args, flags } = await this.parse(DataLog)
    const range = logRange(flags)
    const { openDataDirectory } = await import('../../src/admin/data-directory.js')
    const { readDirectoryLog } = await import('../../src/admin/data-log.js')
    const { decoderOf, logFilter } = await import('../../src/admin/entry-decoders.js')
    const { isFiltering } = await import('../../src/admin/entry-summary.js')
    const { damageError, tornWarning } = await import('../../src/admin/data-findings.js')
    const { printLog } = await import('../../src/terminal/log-view.js')
    const filter = logFilter(flags)
    const directory = await openDataDirectory(args.dir, flags.group ?? null)
    const log = await readDirectoryLog(directory, {
      ...range,
      filter,
      hex: flags.raw === 'hex',
      decode: decoderOf(flags.decode, directory.groups[0]!.machine ?? null),
    })
    return this.result(log, (out) => printLog(out, log.entries, Date.now()), {
      exitCode: isFiltering(filter) && log.entries.length === 0 ? 3 : 0,
      error: damageError(log.directory, log.findings),
      warnings: tornWarning(log.directory, log.findings),
    })
  }
}
