import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { latencyFlag, wholeNumberFlag } from '../../src/terminal/flags.js'

export default class CheckDisk extends ClusterCommand {
  static override summary = 'Measure how long a durable write takes on the disk of every member.'
  static override description =
    'Each member writes blocks of 4 KiB to a file of its own beside its data, one after another, makes each durable, and removes the file; its log goes on meanwhile. Members are measured one after another. A member whose p99 is above the limit is slow: exit 3. One that cannot be asked is unknown: exit 11.'
  static override schema = 'raftctl.check.disk/1'
  static override exitCodes = [3, 5, 6, 7, 8, 11]
  static override seeAlso = ['status', 'leader transfer', 'check perf']
  static override outputColumns = {
    NODE: 'name of the member, or its address',
    DISK: 'fast, SLOW or UNKNOWN',
    P50: 'half of the writes took no longer',
    P99: 'all but one in a hundred took no longer',
    LIMIT: 'what P99 is held against',
    FREE: 'space that is left where its data is; SIZE, with --wide, is all of it',
    REASON: 'why it is unknown',
  }
  static override examples = [
    '<%= config.bin %> check disk',
    { description: 'In a pipeline: fail above 10 ms', command: '<%= config.bin %> check disk --limit 10ms' },
    { description: 'The figures alone', command: '<%= config.bin %> check disk --json --field members[].p99Ms' },
  ]
  static override flags = {
    samples: wholeNumberFlag({ min: 1, default: 100, description: 'writes at each member, at most 100 (default 100)' }),
    limit: latencyFlag({ description: 'what p99 may be (default: a tenth of the election timeout)' }),
  }

  async run() {
    const { flags } = await this.parse(CheckDisk)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { checkDisks } = await import('../../src/admin/check-disk.js')
    const { printDiskCheck } = await import('../../src/terminal/disk-check-view.js')
    using client = new ClusterClient(connection)
    const { report, clusterId, error } = await checkDisks(client, { samples: flags.samples, limitMs: flags.limit ?? null })
    return this.result(report, (out) => printDiskCheck(out, report), { clusterId, error })
  }
}
