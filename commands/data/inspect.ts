import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'

export default class DataInspect extends BaseCommand {
  static override summary = 'Show what a data directory holds, whether its node runs or not.'
  static override description =
    'Term and vote, log, segments, snapshots and members, as they are on disk; reads only. Directories of braft too. Exits 10 when something in it is damaged.'
  static override schema = 'raftctl.data.inspect/1'
  static override exitCodes = [6, 7, 10]
  static override seeAlso = ['data verify', 'data log']
  static override outputColumns = {
    SEGMENT: 'file of the log',
    FIRST: 'index of its first entry',
    LAST: 'index of its last entry',
    ENTRIES: 'how many are good',
    BYTES: 'size of the file',
    STATE: 'open is the one that is written to',
  }
  static override examples = [
    '<%= config.bin %> data inspect /var/lib/raft/n1',
    '<%= config.bin %> data inspect ./data --json --field groups[0].log.last',
  ]
  static override args = { dir: Args.string({ required: true, ignoreStdin: true, description: 'the data directory of a node' }) }
  static override flags = { group: Flags.string({ char: 'g', helpValue: '<name>', description: 'only this Raft group' }) }

  async run() {
    const { args, flags } = await this.parse(DataInspect)
    const { openDataDirectory } = await import('../../src/admin/data-directory.js')
    const { inspectDirectory } = await import('../../src/admin/data-inspect.js')
    const { damageError } = await import('../../src/admin/data-findings.js')
    const { printDirectory } = await import('../../src/terminal/data-view.js')
    const directory = await openDataDirectory(args.dir, flags.group ?? null)
    const view = await inspectDirectory(directory)
    return this.result(view, (out) => printDirectory(out, view), {
      error: damageError(
        view.directory,
        view.groups.flatMap((group) => group.findings),
      ),
      clusterId: view.node?.clusterId ?? null,
    })
  }
}
