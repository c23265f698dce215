import { Args } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'
import { PREFIX_COLUMNS } from '../../src/terminal/snapshot-view.js'

export default class SnapshotInspect extends BaseCommand {
  static override summary = 'Say what is in a saved snapshot, and which keys take the room.'
  static override description = 'Reads the whole file and checks it on the way; needs no cluster. - reads stdin.'
  static override schema = 'raftctl.snapshot.inspect/1'
  static override exitCodes = [6, 10]
  static override seeAlso = ['snapshot verify', 'snapshot save']
  static override outputColumns = PREFIX_COLUMNS
  static override examples = [
    '<%= config.bin %> snapshot inspect prod.snap',
    { description: 'users/41/, users/42/, …', command: '<%= config.bin %> snapshot inspect prod.snap --depth 2 --top 50' },
  ]
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'what snapshot save wrote' }) }
  static override flags = {
    depth: wholeNumberFlag({ min: 1, default: 1, description: 'slashes up to which keys are told apart' }),
    top: wholeNumberFlag({ min: 1, default: 20, description: 'how many prefixes, the largest first' }),
  }

  async run() {
    const { args, flags } = await this.parse(SnapshotInspect)
    const { inspectSnapshot, prefixNames } = await import('../../src/admin/snapshot-file.js')
    const { printArchive, printPrefixes } = await import('../../src/terminal/snapshot-view.js')
    const found = await inspectSnapshot(args.file, { depth: flags.depth ?? 1, top: flags.top ?? 20 })
    return this.result(
      found,
      (out) => {
        printArchive(out, found)
        printPrefixes(out, prefixNames(found))
      },
      { clusterId: found.clusterId },
    )
  }
}
