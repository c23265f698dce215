import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'

export default class DataVerify extends BaseCommand {
  static override summary = 'Check every byte of a data directory that can be checked; change none.'
  static override description =
    'Checksums of every entry, order of segments and terms, term and vote, the durable bound, snapshots. Each finding names file, offset and index, what it means, and what to type. A torn tail, which a start cuts, exits 0 with a warning; damage exits 10. While the node runs only what stays wrong counts.'
  static override schema = 'raftctl.data.verify/1'
  static override exitCodes = [6, 7, 10]
  static override seeAlso = ['data inspect', 'data log']
  static override examples = [
    '<%= config.bin %> data verify /var/lib/raft/n1',
    { description: 'In a script: 0 sound, 10 damaged', command: '<%= config.bin %> data verify ./data -q' },
  ]
  static override args = { dir: Args.string({ required: true, ignoreStdin: true, description: 'the data directory of a node' }) }
  static override flags = { group: Flags.string({ char: 'g', helpValue: '<name>', description: 'only this Raft group' }) }

  async run() {
    const { args, flags } = await this.parse(DataVerify)
    const { openDataDirectory } = await import('../../src/admin/data-directory.js')
    const { verifyDirectory } = await import('../../src/admin/data-verify.js')
    const { damageError, tornWarning } = await import('../../src/admin/data-findings.js')
    const { printFindings, verdictText } = await import('../../src/terminal/data-view.js')
    const directory = await openDataDirectory(args.dir, flags.group ?? null)
    const found = await verifyDirectory(directory)
    const { checked, findings, verdict } = found
    return this.result(
      found,
      (out) => {
        const amount = `${out.count(checked.entries)} entries in ${out.many(checked.segments, 'segment')} (${out.bytes(checked.logBytes)}) · ${out.many(checked.snapshots, 'snapshot')}`
        out.line(
          `${verdictText(out, verdict)}  ${found.directory}  ${amount}${found.pid === null ? '' : ` · in use by process ${found.pid}`}`,
        )
        printFindings(out, findings, found.directory)
      },
      { error: damageError(found.directory, findings), warnings: tornWarning(found.directory, findings) },
    )
  }
}
