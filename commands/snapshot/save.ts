import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { byteRateFlag } from '../../src/terminal/flags.js'

export default class SnapshotSave extends ClusterCommand {
  static override summary = 'Save a snapshot of the cluster into one file.'
  static override description =
    'A healthy follower takes a snapshot and sends it; every byte is checked on the way. The file is called FILE.partial until it is whole and good, so that nothing bad ever has its name; one that broke off goes on with --resume. - writes to stdout: use what came only when the exit code is 0.'
  static override schema = 'raftctl.snapshot.save/1'
  static override exitCodes = [4, 5, 6, 7, 8, 10, 13]
  static override seeAlso = ['snapshot verify', 'snapshot inspect']
  static override examples = [
    '<%= config.bin %> snapshot save prod.snap',
    {
      description: 'Go on where it broke off, at most so fast',
      command: '<%= config.bin %> snapshot save prod.snap --resume --max-rate 50MB/s',
    },
    { description: 'The snapshot that n3 has already', command: '<%= config.bin %> snapshot save n3.snap --node n3 --present' },
    '<%= config.bin %> snapshot save - | gzip > prod.snap.gz',
  ]
  static override args = { file: Args.string({ required: true, ignoreStdin: true, description: 'where to; - is stdout' }) }
  static override flags = {
    node: Flags.string({ default: 'auto', helpValue: '<member>', description: 'who sends it; auto is a healthy follower' }),
    present: Flags.boolean({ description: 'take no new snapshot: send the one that is there' }),
    resume: Flags.boolean({ description: 'go on with FILE.partial' }),
    'max-rate': byteRateFlag({ description: 'at most this fast' }),
  }

  async run() {
    const { args, flags } = await this.parse(SnapshotSave)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { saveToFile } = await import('../../src/admin/snapshot-save.js')
    const { CopyProgress } = await import('../../src/terminal/copy-progress.js')
    const { savedLine } = await import('../../src/terminal/snapshot-view.js')
    using client = new ClusterClient(connection)
    const progress = new CopyProgress(this.out, args.file)
    const { saved, clusterId } = await saveToFile(client, {
      file: args.file,
      node: flags.node,
      fresh: !flags.present,
      resume: flags.resume,
      maxRate: flags['max-rate'] ?? null,
      signal: this.interrupted,
      onProgress: (reached) => progress.report(reached),
    })
    return this.result(saved, (out) => (args.file === '-' ? out.note(savedLine(saved)) : out.prose(savedLine(saved))), { clusterId })
  }
}
