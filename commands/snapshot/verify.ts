import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'

export default class SnapshotVerify extends BaseCommand {
  static override summary = 'Check every byte of a saved snapshot.'
  static override description =
    'Container, manifest, SHA-256 of every file, and of a key-value snapshot every block, record and count. With --replay the state is loaded into a machine of its own and hashed as check consistency does. What is damaged is exit 10 and named by its offset. Needs no cluster; - reads stdin.'
  static override schema = 'raftctl.snapshot.verify/1'
  static override exitCodes = [6, 10]
  static override seeAlso = ['snapshot save', 'snapshot inspect', 'check consistency']
  static override examples = [
    '<%= config.bin %> snapshot verify prod.snap',
    { description: 'Load it as well', command: '<%= config.bin %> snapshot verify prod.snap --replay' },
  ]
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'what snapshot save wrote' }) }
  static override flags = { replay: Flags.boolean({ description: 'load the state into a machine and hash what it then holds' }) }

  async run() {
    const { args, flags } = await this.parse(SnapshotVerify)
    const { verifySnapshot } = await import('../../src/admin/snapshot-file.js')
    const verified = await verifySnapshot(args.file, { replay: flags.replay })
    return this.result(
      verified,
      (out) => {
        const { state, replayedHash } = verified
        const keys = state === null ? '' : `, ${out.count(state.keys)} keys`
        const hash = replayedHash ?? state?.sha256
        const loaded = replayedHash === null ? '' : ', loaded'
        out.prose(`ok: framing, sha256${keys}${loaded}${hash === undefined ? '' : `, state hash ${hash}`}`)
      },
      { clusterId: verified.clusterId },
    )
  }
}
